// Copies that move elements: a transpose through a padded tile, a strided gather, a 16-byte copy.

constexpr int TILE = 32;
constexpr int STEP = 8;

extern "C" __global__ void transpose(const float* x, float* y, int rows, int cols) {
    __shared__ float tile[TILE][TILE + 1];
    int col = blockIdx.x * TILE + threadIdx.x;
    int row = blockIdx.y * TILE + threadIdx.y;
    for (int i = 0; i < TILE; i += STEP)
        if (row + i < rows && col < cols)
            tile[threadIdx.y + i][threadIdx.x] = x[(row + i) * cols + col];
    __syncthreads();
    col = blockIdx.y * TILE + threadIdx.x;
    row = blockIdx.x * TILE + threadIdx.y;
    for (int i = 0; i < TILE; i += STEP)
        if (row + i < cols && col < rows)
            y[(row + i) * rows + col] = tile[threadIdx.x][threadIdx.y + i];
}

// y is dense with the given sizes; x has any strides, negative ones too.
extern "C" __global__ void strided_copy(const unsigned short* x, unsigned short* y, long long n,
                                        unsigned size1, unsigned size2, long long stride0,
                                        long long stride1, long long stride2) {
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x; at < n; at += step) {
        long long k = at % size2;
        long long j = at / size2 % size1;
        long long i = at / size2 / size1;
        y[at] = x[i * stride0 + j * stride1 + k * stride2];
    }
}

// Sixteen bytes a thread, then the tail byte by byte.
extern "C" __global__ void wide_copy(const char* x, char* y, size_t bytes) {
    size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    size_t wide = bytes / sizeof(uint4);
    if (at < wide) {
        reinterpret_cast<uint4*>(y)[at] = reinterpret_cast<const uint4*>(x)[at];
    } else if (at - wide < bytes % sizeof(uint4)) {
        size_t tail = wide * sizeof(uint4) + (at - wide);
        y[tail] = x[tail];
    }
}
