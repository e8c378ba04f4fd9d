// Calls: functions kept out of line, with scalar, struct and pointer parameters.

struct Pair {
    float low;
    double high;
    int tag;
};

__device__ __noinline__ float horner(const float* weights, int count, float x) {
    float value = 0.0f;
    for (int i = count - 1; i >= 0; i--) value = value * x + weights[i];
    return value;
}

__device__ __noinline__ Pair split(Pair in, short by) {
    Pair out = {in.low * by, in.high - by, in.tag + 1};
    return out;
}

__device__ __noinline__ void swap_if(int* a, int* b) {
    if (*a > *b) {
        int kept = *a;
        *a = *b;
        *b = kept;
    }
}

// Not a tail call, so each level keeps its own frame.
__device__ __noinline__ unsigned ways(unsigned n) {
    return n < 2 ? 1 : ways(n - 1) + 2 * ways(n - 2) % 1000;
}

extern "C" __global__ void calls(const float* weights, int count, const float* x, float* y,
                                 double* high, int* tags, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    float value = x[at];
    // Lanes diverge around the calls.
    if (at % 3 != 0) value = horner(weights, count, value);
    Pair pair = split({value, value * 2.0, at}, (short)(at % 7 - 3));
    int a = at * 37 % 11, b = at * 53 % 13;
    swap_if(&a, &b);
    y[at] = pair.low;
    high[at] = pair.high;
    tags[at] = pair.tag * 10000 + a * 100 + b;
}

extern "C" __global__ void recursion(unsigned* out, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < n) out[at] = ways(at % 11);
}
