# Drops torch and what its wheel for CUDA needs from a lock file, with their hashes and comments.
/^[a-z0-9]/ {
    dropped = $0 ~ /^(torch|torchaudio|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==/ && $0 !~ /^nvidia-ml-py==/
}
!dropped
