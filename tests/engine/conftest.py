"""What the tests of the engine share."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """One thread, as model replicas have it by default; whatever the test sets is put back behind it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
