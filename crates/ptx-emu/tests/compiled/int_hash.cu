// Integer arithmetic: a 64-bit hash, and the bit instructions behind the CUDA intrinsics.

typedef unsigned u32;
typedef unsigned long long u64;

__device__ u64 mix(u64 x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 29;
    return x ^ __umul64hi(x, 0x9e3779b97f4a7c15ull);
}

extern "C" __global__ void hash(const u64* x, u64* out, u64 seed, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    u64 state = seed ^ x[at];
    for (int round = 0; round < 3; round++) {
        state = mix(state);
        state = (state << 21) | (state >> 43);
    }
    out[at] = state;
}

// Sixteen results an element.
extern "C" __global__ void bits(const u64* x, u32* out, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    u64 wide = x[at];
    u32 low = (u32)wide, high = (u32)(wide >> 32);
    int sl = (int)low, sh = (int)high;
    u32* to = out + 16 * at;
    to[0] = __popc(low) + __popcll(wide);
    to[1] = __clz(sl);
    to[2] = __clzll((long long)wide);
    to[3] = __brev(low) ^ (u32)__brevll(wide);
    to[4] = __ffs(sl) * 100 + __ffsll((long long)wide);
    to[5] = __funnelshift_l(low, high, high & 63);
    to[6] = __funnelshift_rc(low, high, high & 63);
    to[7] = __byte_perm(low, high, 0x2507);
    to[8] = __umulhi(low, high);
    to[9] = (u32)__mulhi(sl, sh);
    to[10] = __dp4a(sl, sh, 7) + __usad(low, high, 5u);
    to[11] = (u32)(sl / 7) + low % (high | 1u);
    to[12] = (u32)(wide / (high | 1u)) + (u32)((long long)wide % -11);
    to[13] = (u32)(sl >> (high & 31)) + (low << (high & 31));
    to[14] = (high >> 5 & 0x7ff) | ((u32)((short)low * (short)high) & 0xfffff000u);
    to[15] = (u32)((long long)sl * sh >> 16) ^ (u32)min(abs(sl), max(sh, -5)) ^ __hadd(sl, sh);
}
