// Atomics: a histogram privatised in shared memory, and every kind of atomic on global memory.

constexpr int BINS = 61;

extern "C" __global__ void histogram(const unsigned char* x, unsigned* bins, int n) {
    __shared__ unsigned own[BINS];
    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x) own[bin] = 0;
    __syncthreads();
    for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < n; at += gridDim.x * blockDim.x)
        atomicAdd(&own[x[at] % BINS], 1u);
    __syncthreads();
    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x)
        if (own[bin] != 0) atomicAdd(&bins[bin], own[bin]);
}

struct Totals {
    unsigned long long sum;
    double total;
    float share;
    int low;
    int high;
    unsigned all;
    unsigned any;
    unsigned odd;
    unsigned wrapped;
    unsigned countdown;
    unsigned tickets;
    float peak;
    int last;
};

__device__ void atomic_peak(float* at, float value) {
    int seen = *reinterpret_cast<volatile int*>(at);
    while (value > __int_as_float(seen)) {
        int found = atomicCAS(reinterpret_cast<int*>(at), seen, __float_as_int(value));
        if (found == seen) break;
        seen = found;
    }
}

extern "C" __global__ void totals(const int* x, Totals* out, unsigned* order, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    int value = x[at];
    atomicAdd(&out->sum, (unsigned long long)(long long)value);
    atomicAdd(&out->total, value * 0.5);
    atomicAdd(&out->share, 0.25f);
    atomicMin(&out->low, value);
    atomicMax(&out->high, value);
    atomicAnd(&out->all, (unsigned)value);
    atomicOr(&out->any, (unsigned)value);
    atomicXor(&out->odd, (unsigned)value);
    atomicInc(&out->wrapped, 16u);
    atomicDec(&out->countdown, 6u);
    order[atomicAdd(&out->tickets, 1u)] = at;
    atomic_peak(&out->peak, value * 0.125f);
    atomicExch(&out->last, value);
}
