import numpy as np

def dio(
    x: np.ndarray,
    fs: int,
    f0_floor: float = ...,
    f0_ceil: float = ...,
    channels_in_octave: float = ...,
    frame_period: float = ...,
    speed: int = ...,
    allowed_range: float = ...,
) -> tuple[np.ndarray, np.ndarray]: ...
def stonemask(x: np.ndarray, f0: np.ndarray, temporal_positions: np.ndarray, fs: int) -> np.ndarray: ...
