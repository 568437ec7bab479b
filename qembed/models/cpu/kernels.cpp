// Arithmetic of a transformer on CPUs with AVX-512: linear layers in float32 and in 16-bit integers,
// attention, and layer norm. Plain C functions over row-major float32 arrays; kernels/__init__.py calls them
// by ctypes.
//
// One microkernel serves all products: 12 rows of A times 32 columns of B, accumulated in 24 registers. A
// step is one 32-bit word of each row: one float, or two 16-bit integers that vpdpwssd multiplies and adds at
// once, which is twice as fast. B lies in panels of 32 columns, word after word.
//
// 16-bit products are exact: each row of A and each column of B is scaled to length 46,340 = sqrt(2^31), so
// by Cauchy and Schwarz no partial sum of a dot product leaves 32 bits. What is lost is the rounding to
// integers: 0.29 / 46,340 of a row's length for each element, a tenth of what bfloat16 loses.

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

namespace {

typedef uint32_t __attribute__((may_alias)) word;  // of a float array, or of two 16-bit integers
#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))

constexpr long kLanes = 16, kColumns = 2 * kLanes, kRows = 12;
constexpr long kBlock = 3 * kRows;  // rows that one task stages and multiplies: they stay in the L2 cache
constexpr double kLength = 46340;   // of a scaled row or column: kLength^2 < 2^31

long round_up(long value, long unit) { return (value + unit - 1) / unit * unit; }

// Words from one row to the next: an odd number of cache lines, so that rows do not share cache sets.
long row_stride(long words) { return round_up(words, kLanes) | kLanes; }

__mmask16 lanes(long count) { return count >= kLanes ? 0xffff : count <= 0 ? 0 : (1u << count) - 1; }

// f(0), f(1), ... with constants, so that arrays indexed by them stay in registers.
template <class F, size_t... I>
INLINE void each(F&& f, std::index_sequence<I...>) {
  (f(std::integral_constant<size_t, I>{}), ...);
}
template <size_t N, class F>
INLINE void each(F&& f) {
  each(f, std::make_index_sequence<N>{});
}

// ---------------------------------------------------------------- memory and threads

// Memory of a thread that grows and stays, aligned to cache lines.
template <class T>
T* scratch(int slot, long count) {
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  thread_local std::unique_ptr<void, Free> memory[4];
  thread_local size_t sizes[4];
  size_t bytes = round_up(count * sizeof(T), 4096);
  if (sizes[slot] < bytes) {
    memory[slot].reset(std::aligned_alloc(64, bytes));
    sizes[slot] = bytes;
    if (!memory[slot]) std::abort();
  }
  return static_cast<T*>(memory[slot].get());
}

// work(0) ... work(tasks - 1), each once, in any order. OpenMP's threads are those of torch, which are awake
// for a while after torch has used them: threads of our own would have to share the cores with them.
template <class Work>
void parallel(long tasks, long threads, Work&& work) {
  // All threads even for few tasks: a smaller team makes libgomp end the others, and start them again for the
  // next.
#pragma omp parallel for schedule(dynamic, 1) num_threads(int(threads)) if (threads > 1 && tasks > 1)
  for (long task = 0; task < tasks; task++) work(task);
}

// ---------------------------------------------------------------- functions of a register

// 2^x, relative error 1e-7; 0 far below.
INLINE __m512 exp2_of(__m512 x) {
  static const float kFit[] = {0.00132647273f, 0.00967151299f, 0.0555073358f, 0.240222424f, 0.693147004f, 1};
  __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 rest = _mm512_sub_ps(x, whole), y = _mm512_set1_ps(kFit[0]);
  each<5>([&](auto i) INLINE_LAMBDA { y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(kFit[i + 1])); });
  return _mm512_scalef_ps(y, whole);
}

// x Phi(x) with the normal distribution's Phi, absolute error 1e-6 (torch's own: 1.2e-6). Phi(x) - 1/2 is x
// times a polynomial in x^2 for |x| <= 5.3 (minimax, by Lawson's weights on Chebyshev's nodes).
INLINE __m512 gelu_of(__m512 x) {
  static const float kEnd = 5.3f, kFit[] = {-0.000521775743f, 0.00155711197f, -0.00178014289f, 0.00221104641f,
                                            -0.00511639845f,  0.00932827219f, -0.0135575421f,  0.0187914018f,
                                            -0.0252079684f,   0.0320959687f,  -0.0395981483f,  0.049263455f,
                                            -0.0665182471f,   0.133392572f};
  // max and min hand on their second operand, so NaN stays NaN
  __m512 inside = _mm512_max_ps(_mm512_set1_ps(-kEnd), _mm512_min_ps(_mm512_set1_ps(kEnd), x));
  __m512 t =
      _mm512_fmsub_ps(_mm512_mul_ps(inside, inside), _mm512_set1_ps(2 / (kEnd * kEnd)), _mm512_set1_ps(1));
  __m512 y = _mm512_set1_ps(kFit[0]);
  each<13>([&](auto i) INLINE_LAMBDA { y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(kFit[i + 1])); });
  return _mm512_mul_ps(x, _mm512_fmadd_ps(inside, y, _mm512_set1_ps(0.5f)));
}

// ---------------------------------------------------------------- the two kinds of products

struct Float32 {
  static constexpr float kLimit = std::numeric_limits<float>::infinity();  // of a dot product
  static constexpr long kDepth = 1;                                        // numbers in a word
  static INLINE void multiply(__m512i& sum, __m512i a, __m512i b) {
    asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(b), "v"(a));
  }
  static INLINE __m512 value(__m512i sum) { return _mm512_castsi512_ps(sum); }

  // Factor by which k numbers are scaled, given the sum of their squares and the largest.
  static float factor(float, float, long) { return 1; }

  // A row of A: the numbers times the factor, in words. Returns the sum of what it holds.
  static INLINE float convert(const float* x, long k, float, word* row) {
    __m512 sum = _mm512_setzero_ps();
    for (long i = 0; i < k; i += kLanes) {
      const __mmask16 some = lanes(k - i);
      const __m512 v = _mm512_maskz_loadu_ps(some, x + i);
      _mm512_mask_storeu_ps(row + i, some, v);
      sum = _mm512_add_ps(sum, v);
    }
    return _mm512_reduce_add_ps(sum);
  }

  // A row of B out of kDepth rows of numbers.
  static INLINE __m512i join(const __m512* rows, __m512) { return _mm512_castps_si512(rows[0]); }
};

struct Int16 {
  static constexpr float kLimit = kLength * kLength;
  static constexpr long kDepth = 2;
  // By hand, because compilers spill registers around the intrinsic of this one.
  static INLINE void multiply(__m512i& sum, __m512i a, __m512i b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(b), "v"(a));
  }
  static INLINE __m512 value(__m512i sum) { return _mm512_cvtepi32_ps(sum); }

  // What takes the numbers to length kLength after rounding, each within 16 bits; NaN where they are not
  // finite.
  static float factor(float squares, float most, long k) {
    if (squares != squares) return squares;
    if (most == 0) return 1;
    // Where squares leave float32's range, the length is at most that of k numbers like the largest.
    const bool known = squares > 1e-30f && squares < std::numeric_limits<float>::infinity();
    const double length = known ? std::sqrt(double(squares)) : std::sqrt(double(k)) * most;
    // 0.9999: the sum of squares is rounded too. 1e36: one over it is a number as well.
    const double whole = 0.9999 * (kLength - std::sqrt(double(k)) / 2) / length;
    return float(std::min({whole, 32767.0 / most, 1e36}));
  }

  static INLINE float convert(const float* x, long k, float factor, word* row) {
    __m512i sum = _mm512_setzero_si512();
    for (long i = 0; i < k; i += kLanes) {
      const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes(k - i), x + i), _mm512_set1_ps(factor));
      const __m512i whole = _mm512_cvtps_epi32(v);
      _mm256_storeu_si256((__m256i*)((int16_t*)row + i), _mm512_cvtepi32_epi16(whole));
      sum = _mm512_add_epi32(sum, whole);
    }
    return float(_mm512_reduce_add_epi32(sum));
  }

  static INLINE __m512i join(const __m512* rows, __m512 factor) {
    const __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(rows[0], factor));
    const __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(rows[1], factor));
    return _mm512_mask_blend_epi16(0xaaaaaaaa, low, _mm512_slli_epi32(high, 16));
  }
};

template <class Kind>
long words_of(long k) {
  return (k + Kind::kDepth - 1) / Kind::kDepth;
}

// The larger one; NaN where one is.
INLINE float largest(float a, float b) { return a > b || a != a ? a : b; }

// Sum of squares and largest absolute value of some numbers.
struct Size {
  float squares = 0, most = 0;
};

INLINE Size size_of(const float* x, long k) {
  __m512 squares = _mm512_setzero_ps(), most = _mm512_setzero_ps();
  for (long i = 0; i < k; i += kLanes) {
    const __m512 v = _mm512_maskz_loadu_ps(lanes(k - i), x + i);
    squares = _mm512_fmadd_ps(v, v, squares);
    most = _mm512_max_ps(most, _mm512_abs_ps(v));
  }
  return {_mm512_reduce_add_ps(squares), _mm512_reduce_max_ps(most)};
}

// A row of A at its own scale; returns what its products are multiplied with.
template <class Kind>
INLINE float stage(const float* x, long k, word* row) {
  const Size size = Kind::kDepth > 1 ? size_of(x, k) : Size{};
  const float factor = Kind::factor(size.squares, size.most, k);
  Kind::convert(x, k, factor, row);
  return 1 / factor;
}

// Calls done(r, left, right) with the 32 sums of each of R rows: a (rows of `words` words) times one panel.
template <class Kind, size_t R, class Done>
INLINE void tile(const word* a, long stride, long words, const word* panel, Done&& done) {
  __m512i left[R], right[R];
  each<R>([&](auto r) INLINE_LAMBDA { left[r] = right[r] = _mm512_setzero_si512(); });
  for (long i = 0; i < words; i++, panel += kColumns) {
    __m512i b0 = _mm512_loadu_si512(panel), b1 = _mm512_loadu_si512(panel + kLanes);
    each<R>([&](auto r) INLINE_LAMBDA {
      __m512i value = _mm512_set1_epi32(int(a[r * stride + i]));
      Kind::multiply(left[r], value, b0);
      Kind::multiply(right[r], value, b1);
    });
  }
  each<R>([&](auto r) INLINE_LAMBDA { done(long(r), Kind::value(left[r]), Kind::value(right[r])); });
}

// The same for any number of rows.
template <class Kind, class Done>
INLINE void rows_times_panel(const word* a, long stride, long rows, long words, const word* panel,
                             Done&& done) {
  long at = 0;
  auto shifted = [&](long r, __m512 left, __m512 right) INLINE_LAMBDA { done(at + r, left, right); };
  for (; at + kRows <= rows; at += kRows) tile<Kind, kRows>(a + at * stride, stride, words, panel, shifted);
  for (; at + 4 <= rows; at += 4) tile<Kind, 4>(a + at * stride, stride, words, panel, shifted);
  for (; at < rows; at++) tile<Kind, 1>(a + at * stride, stride, words, panel, shifted);
}

// ---------------------------------------------------------------- linear layers

struct Weight {  // (n, k), in panels
  const word* packed;
  const float *scale, *bias;  // of each column, padded to whole panels
  long n, k;
  long panels() const { return (n + kColumns - 1) / kColumns; }
};

// At most kBlock rows of k numbers, ready to be multiplied.
template <class Kind>
struct Staged {
  long rows, words, stride;
  word* a;
  float scale[kBlock];

  Staged(const float* x, long count, long k)
      : rows(count), words(words_of<Kind>(k)), stride(row_stride(words)) {
    a = scratch<word>(0, kBlock * stride);
    for (long r = 0; r < rows; r++) scale[r] = stage<Kind>(x + r * k, k, a + r * stride);
  }
};

// out = act(x weight^T + bias) for some panels.
template <class Kind, bool kGelu>
void multiply(const Staged<Kind>& x, const Weight& weight, long first_panel, long end_panel, float* out) {
  for (long panel = first_panel; panel < end_panel; panel++) {
    const long column = panel * kColumns;
    const float *scale = weight.scale + column, *bias = weight.bias + column;
    const __mmask16 some[] = {lanes(weight.n - column), lanes(weight.n - column - kLanes)};
    const __m512 scales[] = {_mm512_loadu_ps(scale), _mm512_loadu_ps(scale + kLanes)};
    const __m512 biases[] = {_mm512_loadu_ps(bias), _mm512_loadu_ps(bias + kLanes)};
    auto store = [&](long r, int half, __m512 sum) INLINE_LAMBDA {
      const __m512 of_both = _mm512_mul_ps(scales[half], _mm512_set1_ps(x.scale[r]));
      const __m512 value = _mm512_fmadd_ps(sum, of_both, biases[half]);
      _mm512_mask_storeu_ps(out + r * weight.n + column + half * kLanes, some[half],
                            kGelu ? gelu_of(value) : value);
    };
    rows_times_panel<Kind>(x.a, x.stride, x.rows, x.words, weight.packed + panel * x.words * kColumns,
                           [&](long r, __m512 left, __m512 right) INLINE_LAMBDA {
                             store(r, 0, left);
                             store(r, 1, right);
                           });
  }
}

// For all of at most kBlock rows.
template <class Kind, bool kGelu>
void linear_rows(const float* x, long rows, const Weight& weight, float* out) {
  multiply<Kind, kGelu>(Staged<Kind>(x, rows, weight.k), weight, 0, weight.panels(), out);
}

template <class Kind, bool kGelu>
void linear(const float* x, long m, const Weight& weight, float* y, long threads) {
  const long blocks = (m + kBlock - 1) / kBlock, panels = weight.panels();
  // Few rows, as of a query: the columns are shared out instead.
  const long parts = !blocks || blocks >= threads ? 1 : std::min(panels, (threads + blocks - 1) / blocks);
  parallel(blocks * parts, threads, [&](long task) {
    const long first = task / parts * kBlock, rows = std::min(kBlock, m - first), part = task % parts;
    multiply<Kind, kGelu>(Staged<Kind>(x + first * weight.k, rows, weight.k), weight, panels * part / parts,
                          panels * (part + 1) / parts, y + first * weight.n);
  });
}

// ---------------------------------------------------------------- attention

struct Heads {  // (texts, heads, tokens, width) somewhere in memory; strides in floats, 1 along the width
  const float* data;
  long text, head, token;
  const float* at(long t, long h, long row) const { return data + t * text + h * head + row * token; }
};

// Panels of the transposed matrix, all rows at one scale; missing rows are zeros. Returns what undoes the
// scale.
template <class Kind>
float pack_rows(const float* rows, long row_step, long count, long width, word* panels) {
  Size size;
  if (Kind::kDepth > 1)
    for (long i = 0; i < count; i++) {
      const Size row = size_of(rows + i * row_step, width);
      size = {largest(size.squares, row.squares), largest(size.most, row.most)};
    }
  const float factor = Kind::factor(size.squares, size.most, width);
  const long words = words_of<Kind>(width), stride = row_stride(words);
  word* staged = scratch<word>(3, kLanes * stride);
  alignas(64) static const int kIndex[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const __m512i index = _mm512_mullo_epi32(_mm512_load_si512(kIndex), _mm512_set1_epi32(int(stride)));
  for (long first = 0; first < round_up(count, kColumns); first += kLanes) {
    const long here = std::max(0L, std::min(kLanes, count - first));
    for (long i = 0; i < here; i++)
      Kind::convert(rows + (first + i) * row_step, width, factor, staged + i * stride);
    word* out = panels + first / kColumns * words * kColumns + first % kColumns;
    for (long i = 0; i < words; i++)
      _mm512_storeu_si512(out + i * kColumns, _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), lanes(here),
                                                                          index, staged + i, sizeof(word)));
  }
  return 1 / factor;
}

// Panels of the matrix as it is, at one scale. Returns what undoes the scale.
template <class Kind>
float pack_columns(const float* rows, long row_step, long count, long width, word* panels) {
  const long words = words_of<Kind>(count);
  Size size;
  if (Kind::kDepth > 1)
    for (long column = 0; column < width; column += kLanes) {
      __m512 squares = _mm512_setzero_ps(), most = _mm512_setzero_ps();
      for (long i = 0; i < count; i++) {
        const __m512 v = _mm512_maskz_loadu_ps(lanes(width - column), rows + i * row_step + column);
        squares = _mm512_fmadd_ps(v, v, squares);
        most = _mm512_max_ps(most, _mm512_abs_ps(v));
      }
      size = {largest(size.squares, _mm512_reduce_max_ps(squares)),
              largest(size.most, _mm512_reduce_max_ps(most))};
      if (_mm512_cmp_ps_mask(squares, squares, _CMP_UNORD_Q)) size.squares = NAN;
    }
  const float factor = Kind::factor(size.squares, size.most, count);
  for (long column = 0; column < round_up(width, kColumns); column += kLanes) {
    const __mmask16 some = lanes(width - column);
    word* out = panels + column / kColumns * words * kColumns + column % kColumns;
    for (long i = 0; i < words; i++) {
      __m512 parts[Kind::kDepth];
      each<Kind::kDepth>([&](auto part) INLINE_LAMBDA {
        const long row = i * Kind::kDepth + long(part);
        parts[part] = _mm512_maskz_loadu_ps(row < count ? some : 0,
                                            rows + std::min(row, count - 1) * row_step + column);
      });
      _mm512_storeu_si512(out + i * kColumns, Kind::join(parts, _mm512_set1_ps(factor)));
    }
  }
  return 1 / factor;
}

INLINE float largest_of(const float* x, long count) {
  __m512 most = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  for (long i = 0; i < count; i += kLanes)
    most = _mm512_mask_max_ps(most, lanes(count - i), most, _mm512_loadu_ps(x + i));
  return _mm512_reduce_max_ps(most);
}

// 2^(by (s - top)) in place of each score; returns the sum of their squares. The top is the largest score, or
// 0 where none can be so large that it matters.
INLINE float exponentials(float* scores, long count, float by, float limit) {
  const __m512 shift = _mm512_set1_ps(limit * by <= 30 ? 0 : -largest_of(scores, count) * by);
  __m512 squares = _mm512_setzero_ps();
  for (long i = 0; i < count; i += kLanes) {
    __m512 e = exp2_of(_mm512_fmadd_ps(_mm512_loadu_ps(scores + i), _mm512_set1_ps(by), shift));
    e = _mm512_maskz_mov_ps(lanes(count - i), e);
    _mm512_storeu_ps(scores + i, e);
    squares = _mm512_fmadd_ps(e, e, squares);
  }
  return _mm512_reduce_add_ps(squares);
}

// softmax(scale q k^T) v of one head of one text.
template <class Kind>
void attend(const float* q, long q_step, const float* k, long k_step, const float* v, long v_step, long count,
            long width, float scale, float* out, long out_step) {
  const long padded = round_up(count, kColumns), stride = row_stride(padded);
  const long q_words = words_of<Kind>(width), q_stride = row_stride(q_words), words = words_of<Kind>(count);
  word* keys = scratch<word>(0, padded * q_words);
  word* values = scratch<word>(1, words * round_up(width, kColumns));
  float* scores = scratch<float>(2, kRows * (stride + q_stride));
  word* queries = (word*)scores + kRows * stride;
  const float key_scale = pack_rows<Kind>(k, k_step, count, width, keys);
  const float value_scale = pack_columns<Kind>(v, v_step, count, width, values);
  for (long first = 0; first < count; first += kRows) {
    const long rows = std::min(kRows, count - first);
    float row_scale[kRows];
    for (long r = 0; r < rows; r++)
      row_scale[r] = stage<Kind>(q + (first + r) * q_step, width, queries + r * q_stride);
    for (long column = 0; column < padded; column += kColumns)
      rows_times_panel<Kind>(queries, q_stride, rows, q_words, keys + column * q_words,
                             [&](long r, __m512 left, __m512 right) INLINE_LAMBDA {
                               _mm512_storeu_ps(scores + r * stride + column, left);
                               _mm512_storeu_ps(scores + r * stride + column + kLanes, right);
                             });
    for (long r = 0; r < rows; r++) {
      float* row = scores + r * stride;
      const float by = scale * float(M_LOG2E) * key_scale * row_scale[r];
      const float squares = exponentials(row, count, by, Kind::kLimit);
      const float factor = Kind::factor(squares, std::sqrt(squares), count);
      // In place: what is written lies behind what is read. By the sum after rounding, so weights add up
      // to 1.
      row_scale[r] = value_scale / Kind::convert(row, count, factor, (word*)row);
    }
    for (long column = 0; column < width; column += kColumns) {
      const __mmask16 some[] = {lanes(width - column), lanes(width - column - kLanes)};
      rows_times_panel<Kind>((const word*)scores, stride, rows, words, values + column * words,
                             [&](long r, __m512 left, __m512 right) INLINE_LAMBDA {
                               float* to = out + (first + r) * out_step + column;
                               const __m512 by = _mm512_set1_ps(row_scale[r]);
                               _mm512_mask_storeu_ps(to, some[0], _mm512_mul_ps(left, by));
                               _mm512_mask_storeu_ps(to + kLanes, some[1], _mm512_mul_ps(right, by));
                             });
    }
  }
}

// ---------------------------------------------------------------- layer norm

struct Norm {
  const float *weight, *bias;
  float eps;
};

// y = norm(x + residual); y may be the residual.
void norm_row(const float* x, const float* residual, long n, const Norm& norm, float* y) {
  __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
  for (long i = 0; i < n; i += kLanes) {
    const __mmask16 some = lanes(n - i);
    const __m512 v =
        _mm512_add_ps(_mm512_maskz_loadu_ps(some, x + i), _mm512_maskz_loadu_ps(some, residual + i));
    _mm512_mask_storeu_ps(y + i, some, v);
    sum = _mm512_add_ps(sum, v);
  }
  const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / n);
  for (long i = 0; i < n; i += kLanes) {
    const __mmask16 some = lanes(n - i);
    __m512 v = _mm512_maskz_sub_ps(some, _mm512_maskz_loadu_ps(some, y + i), mean);
    squares = _mm512_fmadd_ps(v, v, squares);
  }
  const __m512 by = _mm512_set1_ps(1 / std::sqrt(_mm512_reduce_add_ps(squares) / n + norm.eps));
  for (long i = 0; i < n; i += kLanes) {
    const __mmask16 some = lanes(n - i);
    __m512 v = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(some, y + i), mean), by);
    v = _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(some, norm.weight + i),
                        _mm512_maskz_loadu_ps(some, norm.bias + i));
    _mm512_mask_storeu_ps(y + i, some, v);
  }
}

// ---------------------------------------------------------------- an encoder of BERT's family

struct Layer {
  Weight query, key, value, out, up, down;
  Norm attention_norm, output_norm;
};

// What happens to each row by itself between two attentions: the end of one layer and the beginning of the
// next.
template <class Kind>
void rows_of_layer(float* x, long rows, const Layer* ended, const float* context, const Layer* begun,
                   float* query, float* key, float* value) {
  if (ended) {
    const long n = ended->out.n;
    float *wide = scratch<float>(1, kBlock * ended->up.n), *states = scratch<float>(2, kBlock * n);
    linear_rows<Kind, false>(context, rows, ended->out, states);
    for (long r = 0; r < rows; r++) norm_row(states + r * n, x + r * n, n, ended->attention_norm, x + r * n);
    linear_rows<Kind, true>(x, rows, ended->up, wide);
    linear_rows<Kind, false>(wide, rows, ended->down, states);
    for (long r = 0; r < rows; r++) norm_row(states + r * n, x + r * n, n, ended->output_norm, x + r * n);
  }
  if (begun) {
    const Staged<Kind> staged(x, rows, begun->query.k);
    multiply<Kind, false>(staged, begun->query, 0, begun->query.panels(), query);
    multiply<Kind, false>(staged, begun->key, 0, begun->key.panels(), key);
    multiply<Kind, false>(staged, begun->value, 0, begun->value.panels(), value);
  }
}

struct Batch {
  long texts, tokens, heads, width;
  const int64_t* spans;
  long rows() const { return texts * tokens; }
  long row() const { return heads * width; }
};

template <class Kind>
void attention(const Heads& q, const Heads& k, const Heads& v, const Batch& batch, float scale, float* out,
               long threads) {
  parallel(batch.texts * batch.heads, threads, [&](long task) {
    const long text = task / batch.heads, head = task % batch.heads;
    const long start = batch.spans[2 * text], end = batch.spans[2 * text + 1];
    float* to = out + text * batch.tokens * batch.row() + head * batch.width;
    for (long token = 0; token < batch.tokens; token++)
      if (token < start || token >= end) std::fill_n(to + token * batch.row(), batch.width, 0.0f);
    if (start < end)
      attend<Kind>(q.at(text, head, start), q.token, k.at(text, head, start), k.token,
                   v.at(text, head, start), v.token, end - start, batch.width, scale,
                   to + start * batch.row(), batch.row());
  });
}

// From `in` to x; states: room for 4 times as much.
template <class Kind>
void encoder(const float* in, float* x, const Batch& batch, const std::vector<Layer>& layers, float scale,
             float* states, long threads) {
  const long m = batch.rows(), n = batch.row(), blocks = (m + kBlock - 1) / kBlock;
  float *query = states, *key = query + m * n, *value = key + m * n, *context = value + m * n;
  auto heads_of = [&](const float* data) { return Heads{data, batch.tokens * n, batch.width, n}; };
  for (size_t i = 0; i <= layers.size(); i++) {
    const Layer *ended = i ? &layers[i - 1] : nullptr, *begun = i < layers.size() ? &layers[i] : nullptr;
    parallel(blocks, threads, [&](long block) {
      const long at = block * kBlock * n, rows = std::min(kBlock, m - block * kBlock);
      if (!ended) std::copy_n(in + at, rows * n, x + at);
      rows_of_layer<Kind>(x + at, rows, ended, context + at, begun, query + at, key + at, value + at);
    });
    if (begun)
      attention<Kind>(heads_of(query), heads_of(key), heads_of(value), batch, scale, context, threads);
  }
}

}  // namespace

// ---------------------------------------------------------------- what Python calls

extern "C" {

// 0: nothing here can run; 1: float32; 2: 16-bit integers too.
int qembed_supported() {
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return !avx512 ? 0 : __builtin_cpu_supports("avx512vnni") ? 2 : 1;
}

// 32-bit words of a packed weight (n, k).
long qembed_packed_words(int sixteen, long n, long k) {
  return round_up(n, kColumns) * (sixteen ? words_of<Int16>(k) : words_of<Float32>(k));
}

// Lay a weight (n, k) out in panels; scale: round_up(n, 32) floats, what each column's sums are multiplied
// with.
void qembed_pack(int sixteen, const float* weight, long n, long k, void* packed, float* scale) {
  const long words = sixteen ? words_of<Int16>(k) : k, stride = row_stride(words);
  std::vector<uint32_t> row(stride);
  std::fill_n((word*)packed, qembed_packed_words(sixteen, n, k), 0);
  std::fill_n(scale, round_up(n, kColumns), 1.0f);
  for (long column = 0; column < n; column++) {
    scale[column] = sixteen ? stage<Int16>(weight + column * k, k, (word*)row.data())
                            : stage<Float32>(weight + column * k, k, (word*)row.data());
    word* out = (word*)packed + column / kColumns * words * kColumns + column % kColumns;
    for (long i = 0; i < words; i++) out[i * kColumns] = row[i];
  }
}

// y (m, n) = act(x (m, k) weight^T + bias); bias: round_up(n, 32) floats; gelu: whether act is the exact
// GELU.
void qembed_linear(int sixteen, const float* x, long m, long k, const void* packed, const float* scale,
                   const float* bias, long n, int gelu, float* y, long threads) {
  const Weight weight{(const word*)packed, scale, bias, n, k};
  auto* of_kind = sixteen ? (gelu ? linear<Int16, true> : linear<Int16, false>)
                          : (gelu ? linear<Float32, true> : linear<Float32, false>);
  of_kind(x, m, weight, y, threads);
}

// out (texts, tokens, heads, width) = softmax(scale q k^T) v within each text's span; zeros outside of it.
// strides: of text, head and token for q, k and v in turn, in floats. spans: start and end of each text.
void qembed_attention(int sixteen, const float* q, const float* k, const float* v, const int64_t* strides,
                      const int64_t* spans, long texts, long heads, long tokens, long width, float scale,
                      float* out, long threads) {
  const Heads of_q{q, strides[0], strides[1], strides[2]}, of_k{k, strides[3], strides[4], strides[5]},
      of_v{v, strides[6], strides[7], strides[8]};
  (sixteen ? attention<Int16> : attention<Float32>)(of_q, of_k, of_v, {texts, tokens, heads, width, spans},
                                                    scale, out, threads);
}

// y: x (texts, tokens, heads * width) behind layers of BERT's family. addresses: for each layer those
// of packed numbers, scales and bias of query, key, value, out, up and down, then of weight and bias of both
// norms. wide: outputs of up. states: room for 4 times x.
void qembed_encoder(int sixteen, const float* x, float* y, const int64_t* spans, long texts, long heads,
                    long tokens, long width, const void* const* addresses, long count, long wide, float scale,
                    float eps, float* states, long threads) {
  const long n = heads * width;
  std::vector<Layer> layers;
  for (const void* const* at = addresses; count > 0; count--, at += 22) {
    auto weight = [&](long which, long rows, long k) {
      return Weight{(const word*)at[3 * which], (const float*)at[3 * which + 1],
                    (const float*)at[3 * which + 2], rows, k};
    };
    auto norm = [&](long which) {
      return Norm{(const float*)at[18 + 2 * which], (const float*)at[19 + 2 * which], eps};
    };
    layers.push_back({weight(0, n, n), weight(1, n, n), weight(2, n, n), weight(3, n, n), weight(4, wide, n),
                      weight(5, n, wide), norm(0), norm(1)});
  }
  (sixteen ? encoder<Int16> : encoder<Float32>)(x, y, {texts, tokens, heads, width, spans}, layers, scale,
                                                states, threads);
}

}  // extern "C"
