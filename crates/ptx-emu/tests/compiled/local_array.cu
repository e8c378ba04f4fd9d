// Local memory: an array indexed at run time lives in the thread's own local space.

constexpr int SIZE = 17;

// Sorts each row of `SIZE` values by insertion, and counts its moves.
extern "C" __global__ void sort_rows(const short* x, short* y, int* moves, int rows) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    short own[SIZE];
    int moved = 0;
    for (int i = 0; i < SIZE; i++) {
        short value = x[row * SIZE + i];
        int at = i;
        while (at > 0 && own[at - 1] > value) {
            own[at] = own[at - 1];
            at--;
            moved++;
        }
        own[at] = value;
    }
    for (int i = 0; i < SIZE; i++) y[row * SIZE + i] = own[i];
    moves[row] = moved;
}

// A queue of float4 in local memory: vector accesses at run-time places.
extern "C" __global__ void queue(const float4* x, float4* y, const int* picks, int n) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    float4 ring[5];
    for (int i = 0; i < 5; i++) ring[i] = make_float4(i, 0.0f, 0.0f, 0.0f);
    for (int i = 0; i < 9; i++) {
        int slot = picks[at * 9 + i] % 5;
        float4 value = x[at];
        ring[slot].x += value.x * i;
        ring[(slot + i) % 5].w += value.w;
        ring[slot].y = ring[(slot + 1) % 5].x - value.y;
    }
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int i = 0; i < 5; i++) {
        float4 value = ring[picks[at * 9 + i] % 5];
        sum = make_float4(sum.x + value.x, sum.y + value.y, sum.z + value.z, sum.w + value.w);
    }
    y[at] = sum;
}
