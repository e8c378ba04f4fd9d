// Control flow: a switch, loops that lanes leave at different times, and an early return.

extern "C" __global__ void collatz(const unsigned* x, int* steps, int n, int limit) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n) return;
    unsigned long long value = x[at];
    int count = 0;
    while (value != 1) {
        if (count == limit) {
            steps[at] = -1;
            return;
        }
        value = value % 2 ? 3 * value + 1 : value / 2;
        count++;
    }
    steps[at] = count;
}

// A stack machine: each thread runs its own short program of byte codes.
extern "C" __global__ void machine(const unsigned char* code, unsigned* out, int programs,
                                   int length) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= programs) return;
    unsigned value = at;
    unsigned other = 1;
    for (int pc = 0; pc < length; pc++) {
        switch (code[at * length + pc]) {
            case 0: value += other; break;
            case 1: value -= 3; break;
            case 2: value *= 5; continue;
            case 3: other ^= value; break;
            case 4:
                if ((int)value > 100) goto done;
                value = -value;
                break;
            case 5: value = value << 3 | other >> 2; break;
            case 6: out[at] = value; return;
            case 7:
                for (int i = 0; i < (value & 7); i++) other += i * value;
                break;
            default: value ^= 0x55; break;
        }
        value ^= pc;
    }
done:
    out[at] = value - other;
}
