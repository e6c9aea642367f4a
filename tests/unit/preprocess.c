/* The reference `preprocess` against OpenCV. The images are bytes of a linear congruential generator; the expected
 * values were computed once by Python (OpenCV 5.0.0, NumPy 2.4) as
 *     s = seed                                             # the case's number, from 1
 *     each byte: s = (s*1664525 + 1013904223) % 2**32; s >> 24
 *     r = cv2.resize(image.astype(float32)/float32(255), (out_width, out_height), interpolation=cv2.INTER_CUBIC)
 *     y = ((r - [.485, .456, .406]) / [.229, .224, .225]).astype(float32).ravel()
 *     expected[j] = y[j*(y.size - 1)//31], j = 0..31
 * The bound is 2e-6 on the resized value in [0, 1]: OpenCV sums in f32, we in double. */
#include "backend/backend.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define SAMPLES 32

/* clang-format off */
static const struct reference {
    int height, width, out_height, out_width;
    float expected[SAMPLES];
} references[] = {
    {5, 7, 14, 28,
     {-1.27515256f, -0.474772543f, 1.03426945f, -1.61337948f, 1.69791698f, 0.283926904f, 0.171081573f, -0.04594028f,
      1.99832773f, -0.379867733f, -0.972256064f, 2.46345878f, 0.413095713f, 0.0548617132f, -0.419277668f, -0.432854921f,
      -1.30717957f, -0.427957296f, -0.0872150287f, 0.0339154974f, 2.22704983f, 0.736612976f, -1.44671679f, 0.567100286f,
      1.26244938f, 0.455108821f, 1.61368656f, -0.823934615f, -0.0284726601f, 0.513983488f, -0.0982932001f,
      1.68092942f}},
    {13, 9, 28, 14,
     {-1.25330138f, 0.163786918f, 1.20825052f, 1.11241984f, 1.99102521f, 1.50868285f, 0.848962307f, 1.01924253f,
      -1.2373631f, 0.747291327f, 1.10932958f, -0.435921788f, 0.967363f, 0.964563549f, 1.58454716f, -0.492759436f,
      0.0922592059f, 1.411134f, 1.02447152f, 1.29853463f, 0.777637482f, -0.663239181f, 1.23341143f, -1.47866678f,
      -1.41403019f, 1.38605869f, 2.3814435f, 0.635033906f, 0.165651456f, 2.29250669f, 0.314467669f, -0.58404994f}},
    {30, 41, 14, 14,
     {0.306105584f, 0.971944869f, 1.04642594f, 1.7486366f, -1.32724202f, 2.16347384f, -0.657489061f, 1.32617867f,
      1.56011736f, -1.45075333f, -0.494055033f, -0.966822624f, 2.06253958f, -0.144544318f, 1.48156774f, 0.730901361f,
      2.15618777f, 1.29830658f, 1.47010028f, 2.24725366f, 1.34638226f, -0.0208029505f, 2.34257698f, -1.03711462f,
      -1.23631787f, 1.58086443f, 0.438092113f, 0.469916761f, 1.46968532f, 0.254365087f, -0.824793637f, 1.2817198f}},
    {1, 1, 14, 14,
     {-1.09041858f, -1.09041858f, 0.835434258f, 0.670501232f, -1.0904187f, 0.835434258f, 0.670500934f, -1.09041858f,
      0.835434258f, 0.670500934f, -1.09041882f, 0.835434556f, 0.670501232f, -1.0904187f, 0.835434258f, 0.670501232f,
      0.670501232f, -1.09041882f, 0.835434258f, 0.670501232f, -1.09041858f, 0.83543402f, 0.670500934f, -1.0904187f,
      0.835434258f, 0.670501232f, -1.0904187f, 0.835434258f, 0.670500934f, -1.09041858f, 0.835433722f, 0.670501232f}},
    {2, 3, 14, 14,
     {-1.72485232f, 1.62017477f, -1.38962793f, -0.271060795f, -0.0542201214f, 1.49266243f, -0.924410701f, -1.01397967f,
      0.488931984f, -0.81712234f, 1.46176052f, -1.13980114f, -0.483692676f, 0.391744167f, 0.601888657f, -0.860743999f,
      -0.931267381f, 0.852052093f, -1.13641465f, -0.862901747f, 1.46789718f, 0.734826922f, -0.189527065f, 0.378993988f,
      0.105889119f, -1.18981397f, 1.23155355f, -2.00246859f, -0.871874928f, 2.16306853f, 0.931522012f, 0.223747313f}},
    {20, 20, 20, 20,
     {-1.07329392f, -0.166100189f, 0.0779085159f, 2.02997828f, -2.01820731f, 1.43067229f, 0.415266216f, 0.724805295f,
      -1.22741675f, -0.165681973f, -1.17699349f, 0.147625282f, 2.32627463f, 0.957983255f, -1.8781513f, 0.292717218f,
      0.467934012f, 1.37554586f, -1.79253364f, 0.897080719f, 1.7859695f, 1.03651428f, -0.740196049f, -0.460083991f,
      -1.93067229f, -1.39866424f, -0.747923553f, -2.03228021f, 1.61167765f, 1.2456646f, 0.949368298f, -1.29899776f}},
    {6, 640, 14, 686,
     {-1.14462507f, 1.76505256f, -0.0997367948f, -0.309241414f, -0.226266071f, 1.52096784f, -0.0450091101f,
      -0.562018991f,
      -0.149827316f, 1.88718283f, 0.679032087f, 1.62888587f, -0.61854744f, -0.189002872f, 0.601828396f, -0.120985694f,
      0.414301753f, 0.624007821f, -1.96328986f, 0.11417263f, 0.095837459f, 1.45690823f, -0.560467243f, -1.18170762f,
      0.0882099941f, 1.09735632f, 1.67357004f, -1.36204267f, -0.567508519f, -1.34785497f, 2.93430805f, 1.10261893f}},
    {40, 4, 14, 42,
     {-0.345971704f, -0.462652087f, 2.02266383f, 1.08006835f, 0.277223527f, -1.55475152f, 2.59572601f, 0.311278194f,
      0.595186591f, -0.940235198f, 1.37026119f, -0.493845642f, 1.31689978f, -0.913705528f, 1.35980988f, 1.79641151f,
      1.49583542f, -0.448385239f, -1.05255234f, 0.668286562f, -1.19933188f, 0.795713484f, -0.165762663f, 0.371159732f,
      0.44551751f, -0.618755996f, 2.60117745f, 0.0560019575f, 2.16008139f, -0.66957438f, 1.73505425f, 2.02185035f}},
};
/* clang-format on */

#define CASES (sizeof references / sizeof references[0])

/* Runs one case with rows of `pitch` bytes. The caller frees the result. */
static float *preprocess(ib_backend *ref, const struct reference *r, uint32_t seed, int64_t pitch)
{
    uint8_t *image = calloc((size_t)(r->height * pitch), 1);
    float *y = calloc((size_t)(r->out_height * r->out_width * 3), sizeof *y);
    assert_non_null(image);
    assert_non_null(y);
    for (int i = 0; i < r->height; i++) {
        for (int j = 0; j < r->width * 3; j++) {
            seed = seed * 1664525u + 1013904223u;
            image[i * pitch + j] = (uint8_t)(seed >> 24);
        }
    }
    ib_preprocess_args a = {ib_tensor_4d(image, IB_U8, 1, r->height, r->width, 3),
                            ib_tensor_4d(y, IB_F32, 1, r->out_height, r->out_width, 3)};
    a.x.stride[1] = pitch;
    assert_int_equal(ib_preprocess(ref, &a), ISOBATH_OK);
    free(image);
    return y;
}

static void matches_opencv(void **state)
{
    static const double std[3] = {0.229, 0.224, 0.225};
    (void)state;
    ib_diag diag = IB_DIAG_INIT;
    ib_backend *ref;
    assert_int_equal(ib_ref_open(&(ib_backend_options){.act = IB_F32, .diag = &diag}, &ref), ISOBATH_OK);
    for (size_t i = 0; i < CASES; i++) {
        const struct reference *r = &references[i];
        int64_t count = (int64_t)r->out_height * r->out_width * 3;
        for (int padding = 0; padding < 2; padding++) {
            float *y = preprocess(ref, r, (uint32_t)i + 1, r->width * 3 + padding * 5);
            for (int64_t j = 0; j < SAMPLES; j++) {
                int64_t at = j * (count - 1) / 31;
                double difference = fabs((double)y[at] - (double)r->expected[j]) * std[at % 3];
                if (!(difference <= 2e-6))
                    fail_msg("case %zu, value %lld: %.9g, OpenCV gives %.9g", i, (long long)at, (double)y[at],
                             (double)r->expected[j]);
            }
            free(y);
        }
    }
    ib_backend_close(ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(matches_opencv)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
