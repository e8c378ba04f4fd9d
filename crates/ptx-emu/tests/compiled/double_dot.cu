// Double precision: a dot product with an atomic per warp, and the functions of a double.

extern "C" __global__ void double_dot(const double* x, const double* y, double* out, int n) {
    double sum = 0.0;
    for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < n; at += gridDim.x * blockDim.x)
        sum = fma(x[at], y[at], sum);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffff, sum, step);
    if (threadIdx.x % 32 == 0) atomicAdd(out, sum);
}

// Eight results an element; x is positive.
extern "C" __global__ void double_ops(const double* x, const double* y, double* out, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    double a = x[at], b = y[at];
    double* to = out + 8 * at;
    to[0] = b / a;
    to[1] = sqrt(a);
    to[2] = exp(b);
    to[3] = log(a);
    to[4] = (double)(float)b + (double)(long long)(b * 1e6);
    to[5] = floor(b) + fabs(b);
    to[6] = fmin(a, b) - fmax(a, b);
    to[7] = a < b ? 1.0 / a : (double)__double2uint_rn(a);
}
