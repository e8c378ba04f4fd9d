// Between blocks: the last block adds the partial sums, and a barrier of the whole grid.

// `volatile` and the fence order each partial sum before its ticket.
extern "C" __global__ void last_block(const float* x, volatile float* partial, unsigned* tickets,
                                      float* out, int n) {
    __shared__ float total;
    __shared__ bool last;
    if (threadIdx.x == 0) total = 0.0f;
    __syncthreads();
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < n) atomicAdd(&total, x[at]);
    __syncthreads();
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = total;
        __threadfence();
        last = atomicInc(tickets, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        float sum = 0.0f;
        for (int block = 0; block < gridDim.x; block++) sum += partial[block];
        *out = sum;
    }
}

__device__ void grid_barrier(unsigned* arrived, unsigned round) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        atomicAdd(arrived, 1u);
        while (*(volatile unsigned*)arrived < round * gridDim.x) {}
        __threadfence();
    }
    __syncthreads();
}

// Each round every block adds its left neighbour's value to its own.
extern "C" __global__ void rounds(volatile unsigned* even, volatile unsigned* odd,
                                  unsigned* arrived, int count) {
    unsigned left = (blockIdx.x + gridDim.x - 1) % gridDim.x;
    for (int round = 1; round <= count; round++) {
        if (threadIdx.x == 0) odd[blockIdx.x] = even[blockIdx.x] + even[left];
        grid_barrier(arrived, round);
        volatile unsigned* kept = even;
        even = odd;
        odd = kept;
    }
}
