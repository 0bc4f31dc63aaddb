/* Separate a segment of a WAV file with ONNX Runtime's C API, and say what it took.

       cc -O2 -I INCLUDE separate.c -o separate -ldl
       separate LIBONNXRUNTIME.so MODEL.ort MIX.wav STEMS.f32 THREADS

   MODEL.ort is a waveform graph, mix [1, C, N] to stems [1, S, C, N]. MIX.wav has C channels, in 16-bit
   integers or 32-bit floats; what is beyond N samples is left out, and silence fills what is missing. The
   program says what opening took, then runs once for each line on stdin and says what that took, in lines of
   JSON. STEMS.f32 gets the last stems, S times C times N 32-bit floats in the machine's order. */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "onnxruntime_c_api.h"

enum { PCM = 1, IEEE_FLOAT = 3, DIMENSIONS = 4 };

typedef struct {
  const unsigned char *bytes;
  size_t size;
} Mapped;

static const OrtApi *ort;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(OrtStatus *status) {
  if (status != NULL) fail("onnxruntime", ort->GetErrorMessage(status));
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
         (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* Of this program alone; ru_maxrss counts what the parent held when it forked. */
static long peak_kb(void) {
  char line[256];
  long peak = 0;
  FILE *status = fopen("/proc/self/status", "r");
  if (status == NULL) fail("/proc/self/status", "cannot be read");
  while (fgets(line, sizeof line, status) != NULL)
    if (sscanf(line, "VmHWM: %ld", &peak) == 1) break;
  fclose(status);
  return peak;
}

static Mapped map_file(const char *path) {
  struct stat found;
  int file = open(path, O_RDONLY);
  if (file < 0 || fstat(file, &found) != 0 || found.st_size == 0) fail(path, "cannot be read");
  void *bytes = mmap(NULL, found.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  if (bytes == MAP_FAILED) fail(path, "cannot be mapped");
  close(file);
  return (Mapped){bytes, found.st_size};
}

static const OrtApi *api_of(const char *library) {
  void *opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (opened == NULL) fail("dlopen", dlerror());
  const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))dlsym(opened, "OrtGetApiBase");
  if (base == NULL) fail(library, "has no OrtGetApiBase");
  const OrtApi *api = base()->GetApi(ORT_API_VERSION);
  if (api == NULL) fail(library, "is older than this program's headers");
  return api;
}

/* The model's bytes are the mapped file, and are not copied. Memory patterns would hold every
   intermediate tensor's peak for the life of the session. */
static OrtSession *opened(OrtEnv *env, Mapped model, int threads) {
  OrtSessionOptions *options;
  OrtSession *session;
  check(ort->CreateSessionOptions(&options));
  check(ort->SetIntraOpNumThreads(options, threads));
  check(ort->DisableMemPattern(options));
  check(ort->AddSessionConfigEntry(options, "session.use_ort_model_bytes_directly", "1"));
  check(ort->AddSessionConfigEntry(options, "session.use_ort_model_bytes_for_initializers", "1"));
  check(ort->CreateSessionFromArray(env, model.bytes, model.size, options, &session));
  ort->ReleaseSessionOptions(options);
  return session;
}

/* The shape of the only input, or of the only output. */
static void shape_of(const OrtSession *session, int output, int64_t *shape, size_t dimensions) {
  OrtTypeInfo *type;
  const OrtTensorTypeAndShapeInfo *tensor;
  size_t count;
  check(output ? ort->SessionGetOutputTypeInfo(session, 0, &type)
               : ort->SessionGetInputTypeInfo(session, 0, &type));
  check(ort->CastTypeInfoToTensorInfo(type, &tensor));
  check(ort->GetDimensionsCount(tensor, &count));
  if (count != dimensions) fail("the model", "is no waveform graph");
  check(ort->GetDimensions(tensor, shape, count));
  ort->ReleaseTypeInfo(type);
}

static uint32_t little_endian(const unsigned char *bytes, int count) {
  uint32_t value = 0;
  while (count-- > 0) value = value << 8 | bytes[count];
  return value;
}

static float sample(const unsigned char *bytes, int format) {
  if (format == PCM) return (int16_t)little_endian(bytes, 2) / 32768.0f;
  uint32_t bits = little_endian(bytes, 4);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Samples of a WAV file, channel after channel. */
static float *read_wav(const char *path, int64_t channels, int64_t samples) {
  Mapped wav = map_file(path);
  int format = 0, width = 0;
  if (wav.size < 12 || memcmp(wav.bytes, "RIFF", 4) || memcmp(wav.bytes + 8, "WAVE", 4))
    fail(path, "is no WAV file");
  float *planar = calloc(channels * samples, sizeof *planar);
  if (planar == NULL) fail(path, "no memory");
  for (size_t at = 12; at + 8 <= wav.size;) {
    const unsigned char *chunk = wav.bytes + at;
    size_t size = little_endian(chunk + 4, 4), room = wav.size - at - 8;
    if (size > room) size = room;
    if (!memcmp(chunk, "fmt ", 4) && size >= 16) {
      format = little_endian(chunk + 8, 2);
      width = little_endian(chunk + 22, 2) / 8;
      if (little_endian(chunk + 10, 2) != channels) fail(path, "has another number of channels than the model");
      if (!(format == PCM && width == 2) && !(format == IEEE_FLOAT && width == 4))
        fail(path, "is neither 16-bit integers nor 32-bit floats");
    } else if (!memcmp(chunk, "data", 4) && width > 0) {
      int64_t frames = size / (width * channels);
      for (int64_t frame = 0; frame < frames && frame < samples; frame++)
        for (int64_t channel = 0; channel < channels; channel++)
          planar[channel * samples + frame] =
              sample(chunk + 8 + (frame * channels + channel) * width, format);
      return planar;
    }
    at += 8 + size + size % 2;
  }
  fail(path, "has no samples");
  return NULL;
}

int main(int count, char **arguments) {
  if (count != 6) fail("usage", "separate LIBONNXRUNTIME.so MODEL.ort MIX.wav STEMS.f32 THREADS");
  ort = api_of(arguments[1]);
  double began = now();
  OrtEnv *env;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "separate", &env));
  OrtSession *session = opened(env, map_file(arguments[2]), atoi(arguments[5]));
  printf("{\"load_seconds\": %.3f, \"peak_kb\": %ld}\n", now() - began, peak_kb());
  fflush(stdout);

  int64_t in[DIMENSIONS - 1], out[DIMENSIONS];
  shape_of(session, 0, in, DIMENSIONS - 1);
  shape_of(session, 1, out, DIMENSIONS);
  float *mix = read_wav(arguments[3], in[1], in[2]);
  float *stems = malloc(out[1] * out[2] * out[3] * sizeof *stems);
  if (stems == NULL) fail("stems", "no memory");
  OrtMemoryInfo *memory;
  OrtValue *input, *output;
  check(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  check(ort->CreateTensorWithDataAsOrtValue(memory, mix, in[1] * in[2] * sizeof *mix, in, DIMENSIONS - 1,
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
  check(ort->CreateTensorWithDataAsOrtValue(memory, stems, out[1] * out[2] * out[3] * sizeof *stems, out,
                                            DIMENSIONS, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &output));
  const char *inputs[] = {"mix"}, *outputs[] = {"stems"};
  int turn, runs = 0;
  while ((turn = getchar()) != EOF) {
    if (turn != '\n') continue;
    double started = now(), spent = cpu_seconds();
    check(ort->Run(session, NULL, inputs, (const OrtValue *const *)&input, 1, outputs, 1, &output));
    printf("{\"seconds\": %.3f, \"cpu_seconds\": %.3f, \"peak_kb\": %ld}\n", now() - started,
           cpu_seconds() - spent, peak_kb());
    fflush(stdout);
    runs++;
  }
  if (runs == 0) return 0;
  FILE *file = fopen(arguments[4], "wb");
  size_t values = out[1] * out[2] * out[3];
  if (file == NULL || fwrite(stems, sizeof *stems, values, file) != values || fclose(file) != 0)
    fail(arguments[4], "cannot be written");
  return 0;
}
