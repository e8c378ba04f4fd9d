// Votes: stream compaction by ballot, and what the lanes of a warp can learn of each other.

// Keeps the odd values, in the order of the warps' tickets.
extern "C" __global__ void compact(const int* x, int* out, int* count, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    int value = at < n ? x[at] : 0;
    unsigned keep = __ballot_sync(0xffffffff, value & 1);
    int lane = threadIdx.x % 32;
    int base = 0;
    if (lane == 0) base = atomicAdd(count, __popc(keep));
    base = __shfl_sync(0xffffffff, base, 0);
    if (value & 1) out[base + __popc(keep & ((1u << lane) - 1))] = value;
}

// The lanes that take the branch agree on one leader, which counts for all of them.
extern "C" __global__ void grouped_count(const int* x, int* counts, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    unsigned active = __activemask();
    int key = x[at] & 7;
    unsigned peers = __match_any_sync(active, key);
    if (threadIdx.x % 32 == __ffs(peers) - 1) atomicAdd(&counts[key], __popc(peers));
    __syncwarp(active);
}

// Six results a thread; the block is a whole number of warps and every thread has a value.
extern "C" __global__ void votes(const int* x, unsigned* out) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    int value = x[at];
    unsigned* to = out + 6 * at;
    to[0] = __all_sync(0xffffffff, value > 0);
    to[1] = __any_sync(0xffffffff, value > 90);
    to[2] = __uni_sync(0xffffffff, value > 0);
    int same;
    to[3] = __match_all_sync(0xffffffff, value >> 8, &same);
    to[4] = same;
    unsigned below;
    asm("mov.u32 %0, %%lanemask_lt;" : "=r"(below));
    to[5] = __match_any_sync(0xffffffff, (unsigned long long)value) & below;
}
