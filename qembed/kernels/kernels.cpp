// Arithmetic of a transformer on CPUs with AVX-512: linear layers in float32 and in 16-bit integers, attention,
// and layer norm. Plain C functions over row-major float32 arrays; kernels/__init__.py calls them by ctypes.
//
// One microkernel serves all products: 12 rows of A times 32 columns of B, accumulated in 24 registers. A step
// is one 32-bit word of each row: one float, or two 16-bit integers that vpdpwssd multiplies and adds at once,
// which is twice as fast. B lies in panels of 32 columns, word after word.
//
// 16-bit products are exact: each row of A and each column of B is scaled to length 46,340 = sqrt(2^31), so by
// Cauchy and Schwarz no partial sum of a dot product leaves 32 bits. What is lost is the rounding to integers:
// 0.29 / 46,340 of a row's length for each element, a tenth of what bfloat16 loses.

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace {

typedef uint32_t __attribute__((may_alias)) word;  // of a float array, or of two 16-bit integers
#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))

constexpr long kLanes = 16, kColumns = 2 * kLanes, kRows = 12;
constexpr long kBlock = 8 * kRows;  // rows that one task stages and multiplies: they stay in the L2 cache
constexpr double kLength = 46340;   // of a scaled row or column: kLength^2 < 2^31

long round_up(long value, long unit) { return (value + unit - 1) / unit * unit; }

// Words from one row to the next: an odd number of cache lines, so that rows do not share cache sets.
long row_stride(long words) { return round_up(words, kLanes) | kLanes; }

__mmask16 lanes(long count) { return count >= kLanes ? 0xffff : count <= 0 ? 0 : (1u << count) - 1; }

// f(0), f(1), ... with constants, so that arrays indexed by them stay in registers.
template <class F, size_t... I>
INLINE void each(F &&f, std::index_sequence<I...>) {
  (f(std::integral_constant<size_t, I>{}), ...);
}
template <size_t N, class F>
INLINE void each(F &&f) {
  each(f, std::make_index_sequence<N>{});
}

// ---------------------------------------------------------------- memory and threads

// Memory of a thread that grows and stays, aligned to cache lines.
template <class T>
T *scratch(int slot, long count) {
  struct Free {
    void operator()(void *memory) const { std::free(memory); }
  };
  thread_local std::unique_ptr<void, Free> memory[4];
  thread_local size_t sizes[4];
  size_t bytes = round_up(count * sizeof(T), 4096);
  if (sizes[slot] < bytes) {
    memory[slot].reset(std::aligned_alloc(64, bytes));
    sizes[slot] = bytes;
    if (!memory[slot]) std::abort();
  }
  return static_cast<T *>(memory[slot].get());
}

// Threads that wait between calls without spinning: torch's own threads have the cores then.
class Pool {
 public:
  // work(0) ... work(tasks - 1), each once, in any order, on up to `threads` threads.
  void run(long tasks, long threads, const std::function<void(long)> &work) {
    threads = std::min(threads, tasks);
    std::unique_lock<std::mutex> only(running_, std::try_to_lock);
    if (threads <= 1 || !only.owns_lock()) {  // another caller has the threads: this one does its work alone
      for (long task = 0; task < tasks; task++) work(task);
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while (long(threads_.size()) < threads - 1) threads_.emplace_back([this, id = long(threads_.size())] { wait(id); });
      work_ = &work;
      tasks_ = tasks;
      next_ = 0;
      wanted_ = busy_ = threads - 1;
      turn_++;
    }
    start_.notify_all();
    take();
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

  // After a fork the threads are not there; a new pool is made and the old one is left as it is.
  static Pool &instance() {
    static std::mutex guard;
    static Pool *pool = nullptr;
    static pid_t owner = 0;
    std::lock_guard<std::mutex> lock(guard);
    if (owner != getpid()) {
      pool = new Pool;
      owner = getpid();
    }
    return *pool;
  }

 private:
  void take() {
    for (long task; (task = next_.fetch_add(1)) < tasks_;) (*work_)(task);
  }

  void wait(long id) {
    long seen = 0;
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        start_.wait(lock, [&] { return turn_ != seen && id < wanted_; });
        seen = turn_;
      }
      take();
      std::lock_guard<std::mutex> lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex running_, mutex_;
  std::condition_variable start_, done_;
  std::vector<std::thread> threads_;
  const std::function<void(long)> *work_ = nullptr;
  std::atomic<long> next_{0};
  long tasks_ = 0, wanted_ = 0, busy_ = 0, turn_ = 0;
};

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
  static const float kEnd = 5.3f, kFit[] = {
      -0.000521775743f, 0.00155711197f, -0.00178014289f, 0.00221104641f, -0.00511639845f,
      0.00932827219f,   -0.0135575421f, 0.0187914018f,   -0.0252079684f, 0.0320959687f,
      -0.0395981483f,   0.049263455f,   -0.0665182471f,  0.133392572f};
  // max and min hand on their second operand, so NaN stays NaN
  __m512 inside = _mm512_max_ps(_mm512_set1_ps(-kEnd), _mm512_min_ps(_mm512_set1_ps(kEnd), x));
  __m512 t = _mm512_fmsub_ps(_mm512_mul_ps(inside, inside), _mm512_set1_ps(2 / (kEnd * kEnd)), _mm512_set1_ps(1));
  __m512 y = _mm512_set1_ps(kFit[0]);
  each<13>([&](auto i) INLINE_LAMBDA { y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(kFit[i + 1])); });
  return _mm512_mul_ps(x, _mm512_fmadd_ps(inside, y, _mm512_set1_ps(0.5f)));
}

// ---------------------------------------------------------------- the two kinds of products

struct Float32 {
  static constexpr float kLimit = std::numeric_limits<float>::infinity();  // of a dot product
  static constexpr long kDepth = 1;  // numbers in a word
  static INLINE void multiply(__m512i &sum, __m512i a, __m512i b) {
    asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(b), "v"(a));
  }
  static INLINE __m512 value(__m512i sum) { return _mm512_castsi512_ps(sum); }

  // Factor by which k numbers are scaled, given the sum of their squares and the largest.
  static float factor(float, float, long) { return 1; }

  // A row of A: the numbers times the factor, in words.
  static INLINE void convert(const float *x, long k, float, word *row) {
    for (long i = 0; i < k; i += kLanes) {
      const __mmask16 some = lanes(k - i);
      _mm512_mask_storeu_ps(row + i, some, _mm512_maskz_loadu_ps(some, x + i));
    }
  }

  // A row of B out of kDepth rows of numbers.
  static INLINE __m512i join(const __m512 *rows, __m512) { return _mm512_castps_si512(rows[0]); }
};

struct Int16 {
  static constexpr float kLimit = kLength * kLength;
  static constexpr long kDepth = 2;
  // By hand, because compilers spill registers around the intrinsic of this one.
  static INLINE void multiply(__m512i &sum, __m512i a, __m512i b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(b), "v"(a));
  }
  static INLINE __m512 value(__m512i sum) { return _mm512_cvtepi32_ps(sum); }

  // What takes the numbers to length kLength after rounding, each within 16 bits; NaN where they are not finite.
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

  static INLINE void convert(const float *x, long k, float factor, word *row) {
    for (long i = 0; i < k; i += kLanes) {
      __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes(k - i), x + i), _mm512_set1_ps(factor));
      _mm256_storeu_si256((__m256i *)((int16_t *)row + i), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
    }
  }

  static INLINE __m512i join(const __m512 *rows, __m512 factor) {
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

INLINE Size size_of(const float *x, long k) {
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
INLINE float stage(const float *x, long k, word *row) {
  const Size size = Kind::kDepth > 1 ? size_of(x, k) : Size{};
  const float factor = Kind::factor(size.squares, size.most, k);
  Kind::convert(x, k, factor, row);
  return 1 / factor;
}

// Calls done(r, left, right) with the 32 sums of each of R rows: a (rows of `words` words) times one panel.
template <class Kind, size_t R, class Done>
INLINE void tile(const word *a, long stride, long words, const word *panel, Done &&done) {
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
INLINE void rows_times_panel(const word *a, long stride, long rows, long words, const word *panel, Done &&done) {
  long at = 0;
  auto shifted = [&](long r, __m512 left, __m512 right) INLINE_LAMBDA { done(at + r, left, right); };
  for (; at + kRows <= rows; at += kRows) tile<Kind, kRows>(a + at * stride, stride, words, panel, shifted);
  for (; at + 4 <= rows; at += 4) tile<Kind, 4>(a + at * stride, stride, words, panel, shifted);
  for (; at < rows; at++) tile<Kind, 1>(a + at * stride, stride, words, panel, shifted);
}

// ---------------------------------------------------------------- linear layers

struct Weight {  // (n, k), in panels
  const word *packed;
  const float *scale, *bias;  // of each column, padded to whole panels
  long n, k;
  long panels() const { return (n + kColumns - 1) / kColumns; }
};

// out = act(x weight^T + bias) for at most kBlock rows and some panels.
template <class Kind, bool kGelu>
void linear_block(const float *x, long rows, const Weight &weight, long first_panel, long end_panel, float *out) {
  const long words = words_of<Kind>(weight.k), stride = row_stride(words);
  word *a = scratch<word>(0, kBlock * stride);
  float row_scale[kBlock];
  for (long r = 0; r < rows; r++) row_scale[r] = stage<Kind>(x + r * weight.k, weight.k, a + r * stride);
  for (long panel = first_panel; panel < end_panel; panel++) {
    const long column = panel * kColumns;
    const float *scale = weight.scale + column, *bias = weight.bias + column;
    const __mmask16 some[] = {lanes(weight.n - column), lanes(weight.n - column - kLanes)};
    const __m512 scales[] = {_mm512_loadu_ps(scale), _mm512_loadu_ps(scale + kLanes)};
    const __m512 biases[] = {_mm512_loadu_ps(bias), _mm512_loadu_ps(bias + kLanes)};
    auto store = [&](long r, int half, __m512 sum) INLINE_LAMBDA {
      const __m512 of_both = _mm512_mul_ps(scales[half], _mm512_set1_ps(row_scale[r]));
      const __m512 value = _mm512_fmadd_ps(sum, of_both, biases[half]);
      _mm512_mask_storeu_ps(out + r * weight.n + column + half * kLanes, some[half], kGelu ? gelu_of(value) : value);
    };
    rows_times_panel<Kind>(a, stride, rows, words, weight.packed + panel * words * kColumns,
                           [&](long r, __m512 left, __m512 right) INLINE_LAMBDA {
                             store(r, 0, left);
                             store(r, 1, right);
                           });
  }
}

template <class Kind, bool kGelu>
void linear(const float *x, long m, const Weight &weight, float *y, long threads) {
  const long blocks = (m + kBlock - 1) / kBlock, panels = weight.panels();
  // Few rows, as of a query: the columns are shared out instead.
  const long parts = !blocks || blocks >= threads ? 1 : std::min(panels, (threads + blocks - 1) / blocks);
  Pool::instance().run(blocks * parts, threads, [&](long task) {
    const long first = task / parts * kBlock, rows = std::min(kBlock, m - first), part = task % parts;
    linear_block<Kind, kGelu>(x + first * weight.k, rows, weight, panels * part / parts,
                              panels * (part + 1) / parts, y + first * weight.n);
  });
}

// ---------------------------------------------------------------- attention

struct Heads {  // (texts, heads, tokens, width) somewhere in memory; strides in floats, 1 along the width
  const float *data;
  long text, head, token;
  const float *at(long t, long h, long row) const { return data + t * text + h * head + row * token; }
};

// Panels of the transposed matrix, all rows at one scale; missing rows are zeros. Returns what undoes the scale.
template <class Kind>
float pack_rows(const float *rows, long row_step, long count, long width, word *panels) {
  Size size;
  if (Kind::kDepth > 1)
    for (long i = 0; i < count; i++) {
      const Size row = size_of(rows + i * row_step, width);
      size = {largest(size.squares, row.squares), largest(size.most, row.most)};
    }
  const float factor = Kind::factor(size.squares, size.most, width);
  const long words = words_of<Kind>(width), stride = row_stride(words);
  word *staged = scratch<word>(3, kLanes * stride);
  alignas(64) static const int kIndex[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const __m512i index = _mm512_mullo_epi32(_mm512_load_si512(kIndex), _mm512_set1_epi32(int(stride)));
  for (long first = 0; first < round_up(count, kColumns); first += kLanes) {
    const long here = std::max(0L, std::min(kLanes, count - first));
    for (long i = 0; i < here; i++) Kind::convert(rows + (first + i) * row_step, width, factor, staged + i * stride);
    word *out = panels + first / kColumns * words * kColumns + first % kColumns;
    for (long i = 0; i < words; i++)
      _mm512_storeu_si512(out + i * kColumns, _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), lanes(here), index,
                                                                          staged + i, sizeof(word)));
  }
  return 1 / factor;
}

// Panels of the matrix as it is, at one scale. Returns what undoes the scale.
template <class Kind>
float pack_columns(const float *rows, long row_step, long count, long width, word *panels) {
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
      size = {largest(size.squares, _mm512_reduce_max_ps(squares)), largest(size.most, _mm512_reduce_max_ps(most))};
      if (_mm512_cmp_ps_mask(squares, squares, _CMP_UNORD_Q)) size.squares = NAN;
    }
  const float factor = Kind::factor(size.squares, size.most, count);
  for (long column = 0; column < round_up(width, kColumns); column += kLanes) {
    const __mmask16 some = lanes(width - column);
    word *out = panels + column / kColumns * words * kColumns + column % kColumns;
    for (long i = 0; i < words; i++) {
      __m512 parts[Kind::kDepth];
      each<Kind::kDepth>([&](auto part) INLINE_LAMBDA {
        const long row = i * Kind::kDepth + long(part);
        parts[part] = _mm512_maskz_loadu_ps(row < count ? some : 0, rows + std::min(row, count - 1) * row_step + column);
      });
      _mm512_storeu_si512(out + i * kColumns, Kind::join(parts, _mm512_set1_ps(factor)));
    }
  }
  return 1 / factor;
}

INLINE float largest_of(const float *x, long count) {
  __m512 most = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  for (long i = 0; i < count; i += kLanes)
    most = _mm512_mask_max_ps(most, lanes(count - i), most, _mm512_loadu_ps(x + i));
  return _mm512_reduce_max_ps(most);
}

// 2^(by (s - top)) in place of each score, at most 1; returns their sum, and the sum of their squares. The top is
// the largest score, or what none can exceed if that is so low that no square can underflow.
INLINE std::pair<float, float> exponentials(float *scores, long count, float by, float limit) {
  const __m512 shift = _mm512_set1_ps(limit * by <= 30 ? -limit * by : -largest_of(scores, count) * by);
  __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
  for (long i = 0; i < count; i += kLanes) {
    __m512 e = exp2_of(_mm512_fmadd_ps(_mm512_loadu_ps(scores + i), _mm512_set1_ps(by), shift));
    e = _mm512_maskz_mov_ps(lanes(count - i), e);
    _mm512_storeu_ps(scores + i, e);
    sum = _mm512_add_ps(sum, e);
    squares = _mm512_fmadd_ps(e, e, squares);
  }
  return {_mm512_reduce_add_ps(sum), _mm512_reduce_add_ps(squares)};
}

// softmax(scale q k^T) v of one head of one text.
template <class Kind>
void attend(const float *q, long q_step, const float *k, long k_step, const float *v, long v_step, long count,
            long width, float scale, float *out, long out_step) {
  const long padded = round_up(count, kColumns), stride = row_stride(padded);
  const long q_words = words_of<Kind>(width), q_stride = row_stride(q_words), words = words_of<Kind>(count);
  word *keys = scratch<word>(0, padded * q_words);
  word *values = scratch<word>(1, words * round_up(width, kColumns));
  float *scores = scratch<float>(2, kRows * (stride + q_stride));
  word *queries = (word *)scores + kRows * stride;
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
      float *row = scores + r * stride;
      const auto [sum, squares] = exponentials(row, count, scale * float(M_LOG2E) * key_scale * row_scale[r], Kind::kLimit);
      const float factor = Kind::factor(squares, std::sqrt(squares), count);
      Kind::convert(row, count, factor, (word *)row);  // in place: what is written lies behind what is read
      row_scale[r] = value_scale / (factor * sum);
    }
    for (long column = 0; column < width; column += kColumns) {
      const __mmask16 some[] = {lanes(width - column), lanes(width - column - kLanes)};
      rows_times_panel<Kind>((const word *)scores, stride, rows, words, values + column * words,
                             [&](long r, __m512 left, __m512 right) INLINE_LAMBDA {
                               float *to = out + (first + r) * out_step + column;
                               const __m512 by = _mm512_set1_ps(row_scale[r]);
                               _mm512_mask_storeu_ps(to, some[0], _mm512_mul_ps(left, by));
                               _mm512_mask_storeu_ps(to + kLanes, some[1], _mm512_mul_ps(right, by));
                             });
    }
  }
}

// ---------------------------------------------------------------- layer norm

void norm_row(const float *x, const float *residual, long n, const float *weight, const float *bias, float eps,
              float *y) {
  __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
  for (long i = 0; i < n; i += kLanes) {
    const __mmask16 some = lanes(n - i);
    __m512 v = _mm512_maskz_loadu_ps(some, x + i);
    if (residual) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(some, residual + i));
    _mm512_mask_storeu_ps(y + i, some, v);
    sum = _mm512_add_ps(sum, v);
  }
  const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / n);
  for (long i = 0; i < n; i += kLanes) {
    const __mmask16 some = lanes(n - i);
    __m512 v = _mm512_maskz_sub_ps(some, _mm512_maskz_loadu_ps(some, y + i), mean);
    squares = _mm512_fmadd_ps(v, v, squares);
  }
  const __m512 by = _mm512_set1_ps(1 / std::sqrt(_mm512_reduce_add_ps(squares) / n + eps));
  for (long i = 0; i < n; i += kLanes) {
    const __mmask16 some = lanes(n - i);
    __m512 v = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(some, y + i), mean), by);
    v = _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(some, weight + i), _mm512_maskz_loadu_ps(some, bias + i));
    _mm512_mask_storeu_ps(y + i, some, v);
  }
}

struct Norm {
  const float *weight, *bias;
  float eps;
};

// ---------------------------------------------------------------- the MLP behind attention

// norm(down(gelu(up(x))) + x), a block of rows at a time: the wide states in between stay in the L2 cache.
template <class Kind>
void feed_forward(const float *x, long m, const Weight &up, const Weight &down, const Norm &norm, float *y,
                  long threads) {
  const long blocks = (m + kBlock - 1) / kBlock;
  Pool::instance().run(blocks, threads, [&](long block) {
    const long first = block * kBlock, rows = std::min(kBlock, m - first);
    const float *in = x + first * up.k;
    float *out = y + first * down.n, *wide = scratch<float>(1, kBlock * up.n);
    linear_block<Kind, true>(in, rows, up, 0, up.panels(), wide);
    linear_block<Kind, false>(wide, rows, down, 0, down.panels(), out);
    for (long r = 0; r < rows; r++)
      norm_row(out + r * down.n, in + r * down.n, down.n, norm.weight, norm.bias, norm.eps, out + r * down.n);
  });
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

// Lay a weight (n, k) out in panels; scale: round_up(n, 32) floats, what each column's sums are multiplied with.
void qembed_pack(int sixteen, const float *weight, long n, long k, void *packed, float *scale) {
  const long words = sixteen ? words_of<Int16>(k) : k, stride = row_stride(words);
  std::vector<uint32_t> row(stride);
  std::fill_n((word *)packed, qembed_packed_words(sixteen, n, k), 0);
  std::fill_n(scale, round_up(n, kColumns), 1.0f);
  for (long column = 0; column < n; column++) {
    scale[column] = sixteen ? stage<Int16>(weight + column * k, k, (word *)row.data())
                            : stage<Float32>(weight + column * k, k, (word *)row.data());
    word *out = (word *)packed + column / kColumns * words * kColumns + column % kColumns;
    for (long i = 0; i < words; i++) out[i * kColumns] = row[i];
  }
}

// y (m, n) = act(x (m, k) weight^T + bias); bias: round_up(n, 32) floats; gelu: whether act is the exact GELU.
void qembed_linear(int sixteen, const float *x, long m, long k, const void *packed, const float *scale,
                   const float *bias, long n, int gelu, float *y, long threads) {
  const Weight weight{(const word *)packed, scale, bias, n, k};
  auto *of_kind = sixteen ? (gelu ? linear<Int16, true> : linear<Int16, false>)
                          : (gelu ? linear<Float32, true> : linear<Float32, false>);
  of_kind(x, m, weight, y, threads);
}

// y (m, n) = norm(down(gelu(up(x))) + x), with up (wide, n) and down (n, wide) as for qembed_linear.
void qembed_feed_forward(int sixteen, const float *x, long m, long n, long wide, const void *up,
                         const float *up_scale, const float *up_bias, const void *down, const float *down_scale,
                         const float *down_bias, const float *norm_weight, const float *norm_bias, float eps,
                         float *y, long threads) {
  auto *of_kind = sixteen ? feed_forward<Int16> : feed_forward<Float32>;
  of_kind(x, m, {(const word *)up, up_scale, up_bias, wide, n}, {(const word *)down, down_scale, down_bias, n, wide},
          {norm_weight, norm_bias, eps}, y, threads);
}

// out (texts, tokens, heads, width) = softmax(scale q k^T) v within each text's span; zeros outside of it.
// strides: of text, head and token for q, k and v in turn, in floats. spans: start and end of each text.
void qembed_attention(int sixteen, const float *q, const float *k, const float *v, const int64_t *strides, const int64_t *spans,
                      long texts, long heads, long tokens, long width, float scale, float *out, long threads) {
  const Heads of_q{q, strides[0], strides[1], strides[2]}, of_k{k, strides[3], strides[4], strides[5]},
      of_v{v, strides[6], strides[7], strides[8]};
  Pool::instance().run(texts * heads, threads, [&](long task) {
    const long text = task / heads, head = task % heads, start = spans[2 * text], end = spans[2 * text + 1];
    float *to = out + (text * tokens * heads + head) * width;
    for (long token = 0; token < tokens; token++)
      if (token < start || token >= end) std::fill_n(to + token * heads * width, width, 0.0f);
    if (start < end)
      (sixteen ? attend<Int16> : attend<Float32>)(
          of_q.at(text, head, start), of_q.token, of_k.at(text, head, start), of_k.token, of_v.at(text, head, start),
          of_v.token, end - start, width, scale, to + start * heads * width, heads * width);
  });
}

// y = layer norm of x + residual, row by row; residual may be null.
void qembed_add_norm(const float *x, const float *residual, long m, long n, const float *weight, const float *bias,
                     float eps, float *y, long threads) {
  const long blocks = (m + kBlock - 1) / kBlock;
  Pool::instance().run(blocks, threads, [&](long block) {
    for (long row = block * kBlock; row < std::min(m, (block + 1) * kBlock); row++)
      norm_row(x + row * n, residual ? residual + row * n : nullptr, n, weight, bias, eps, y + row * n);
  });
}

}  // extern "C"
