/* Run a Q/DQ model in ONNX Runtime from C and print the class of every sample.
 *
 *     run MODEL SAMPLES
 *
 * MODEL has one float32 input and one float32 output. SAMPLES is a file of raw float32 values, sample after
 * sample, in the byte order of the machine; dimensions of the input that are open, but for the first, are
 * refused.
 */
#include <onnxruntime_c_api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_DIMENSIONS 8

static const OrtApi *ort;

/* End the program when a call failed; the message says why. */
static void need(OrtStatus *status) {
    if (status == NULL) return;
    fprintf(stderr, "error: %s\n", ort->GetErrorMessage(status));
    ort->ReleaseStatus(status);
    exit(3);
}

static void fail(const char *message) {
    fprintf(stderr, "error: %s\n", message);
    exit(3);
}

/* Read a whole file of float32 values; *count receives how many there are. */
static float *read_floats(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail("the samples cannot be read");
    long size = ftell(file);
    if (size <= 0 || size % (long)sizeof(float) != 0) fail("the samples are no float32 values");
    float *values = malloc((size_t)size);
    rewind(file);
    if (values == NULL || fread(values, 1, (size_t)size, file) != (size_t)size) fail("the samples cannot be read");
    fclose(file);
    *count = (size_t)size / sizeof(float);
    return values;
}

/* Shape of the only input, with the number of samples in front. */
static size_t input_shape(OrtSession *session, size_t values, int64_t *shape) {
    OrtTypeInfo *type;
    const OrtTensorTypeAndShapeInfo *info;
    size_t rank, sample = 1;
    need(ort->SessionGetInputTypeInfo(session, 0, &type));
    need(ort->CastTypeInfoToTensorInfo(type, &info));
    if (info == NULL) fail("the input is no tensor");
    need(ort->GetDimensionsCount(info, &rank));
    if (rank < 1 || rank > MOST_DIMENSIONS) fail("the input has too few or too many dimensions");
    need(ort->GetDimensions(info, shape, rank));
    ort->ReleaseTypeInfo(type);
    for (size_t axis = 1; axis < rank; ++axis) {
        if (shape[axis] <= 0) fail("the input has open dimensions");
        sample *= (size_t)shape[axis];
    }
    if (values % sample != 0) fail("the samples do not fit the input of the model");
    shape[0] = (int64_t)(values / sample);
    return rank;
}

/* Print the index of the largest score of every sample. */
static void print_classes(const OrtValue *output, int64_t samples) {
    OrtTensorTypeAndShapeInfo *info;
    size_t count;
    const float *scores;
    need(ort->GetTensorTypeAndShape(output, &info));
    need(ort->GetTensorShapeElementCount(info, &count));
    ort->ReleaseTensorTypeAndShapeInfo(info);
    need(ort->GetTensorMutableData((OrtValue *)output, (void **)&scores));
    size_t classes = count / (size_t)samples;
    for (int64_t at = 0; at < samples; ++at) {
        const float *row = scores + (size_t)at * classes;
        size_t best = 0;
        for (size_t each = 1; each < classes; ++each)
            if (row[each] > row[best]) best = each;
        printf("%s%zu", at ? " " : "", best);
    }
    printf("\n");
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL SAMPLES\n", argv[0]);
        return 2;
    }
    /* NULL where the library is older than the header that this was compiled with. */
    ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (ort == NULL) {
        fprintf(stderr, "error: the library is older than its header\n");
        return 3;
    }
    OrtEnv *environment;
    OrtSessionOptions *options;
    OrtSession *session;
    OrtAllocator *allocator;
    OrtMemoryInfo *memory;
    OrtValue *input, *output = NULL;
    char *input_name, *output_name;
    int64_t shape[MOST_DIMENSIONS];
    size_t count;

    need(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "deploy", &environment));
    need(ort->CreateSessionOptions(&options));
    need(ort->SetIntraOpNumThreads(options, 1));
    need(ort->CreateSession(environment, argv[1], options, &session));
    need(ort->GetAllocatorWithDefaultOptions(&allocator));
    need(ort->SessionGetInputName(session, 0, allocator, &input_name));
    need(ort->SessionGetOutputName(session, 0, allocator, &output_name));

    float *values = read_floats(argv[2], &count);
    size_t rank = input_shape(session, count, shape);
    need(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    need(ort->CreateTensorWithDataAsOrtValue(memory, values, count * sizeof(float), shape, rank,
                                             ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
    need(ort->Run(session, NULL, (const char *const *)&input_name, (const OrtValue *const *)&input, 1,
                  (const char *const *)&output_name, 1, &output));
    print_classes(output, shape[0]);

    ort->ReleaseValue(output);
    ort->ReleaseValue(input);
    ort->ReleaseMemoryInfo(memory);
    free(values);
    need(ort->AllocatorFree(allocator, input_name));
    need(ort->AllocatorFree(allocator, output_name));
    ort->ReleaseSession(session);
    ort->ReleaseSessionOptions(options);
    ort->ReleaseEnv(environment);
    return 0;
}
