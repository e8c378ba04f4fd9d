// Layer norm of each row with Welford's update: one warp a row, lanes merged by shuffles.

struct Moments {
    float mean;
    float spread;
    float count;
};

__device__ Moments merge(Moments a, Moments b) {
    float count = a.count + b.count;
    if (count == 0.0f) return a;
    float delta = b.mean - a.mean;
    float share = b.count / count;
    return {a.mean + delta * share, a.spread + b.spread + delta * delta * a.count * share, count};
}

extern "C" __global__ void layer_norm(const float* x, const float* gain, const float* bias,
                                      float* y, float* means, int rows, int cols, float epsilon) {
    int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    const float* from = x + row * cols;

    Moments own = {0.0f, 0.0f, 0.0f};
    for (int col = threadIdx.x; col < cols; col += 32) {
        own.count += 1.0f;
        float delta = from[col] - own.mean;
        own.mean += delta / own.count;
        own.spread += delta * (from[col] - own.mean);
    }
    for (int step = 16; step > 0; step /= 2) {
        Moments other = {__shfl_xor_sync(0xffffffff, own.mean, step),
                         __shfl_xor_sync(0xffffffff, own.spread, step),
                         __shfl_xor_sync(0xffffffff, own.count, step)};
        own = merge(own, other);
    }

    float mean = __shfl_sync(0xffffffff, own.mean, 0);
    float scale = rsqrtf(__shfl_sync(0xffffffff, own.spread, 0) / cols + epsilon);
    for (int col = threadIdx.x; col < cols; col += 32)
        y[row * cols + col] = (from[col] - mean) * scale * gain[col] + bias[col];
    if (threadIdx.x == 0) means[row] = mean;
}
