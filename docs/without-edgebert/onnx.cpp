// An ONNX artifact with ONNX Runtime alone: onnx ARTIFACT < ids
// g++ -std=c++17 -O2 onnx.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o onnx
#include <onnxruntime_cxx_api.h>

#include "answer.h"

int main(int count, char** arguments) try {
  if (count != 2) throw std::runtime_error("usage: onnx ARTIFACT < ids");
  const Manifest manifest = read_manifest(arguments[1]);
  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR);
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  // What edgebert sets: no spinning, without a fusion that is slower, and exact INT8 sums on x86 without VNNI.
  options.AddConfigEntry("session.intra_op.allow_spinning", "0");
  options.AddConfigEntry("optimization.disable_specified_optimizers", "SkipLayerNormFusion");
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx512vnni") && !__builtin_cpu_supports("avxvnni"))
    options.AddConfigEntry("session.x64quantprecision", "1");
#endif
  Ort::Session session(environment, manifest.model.c_str(), options);
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const char* output = "logits";
  std::vector<const char*> names;
  for (const auto& name : manifest.inputs) names.push_back(name.c_str());

  return answer_all(manifest, [&](const Tokens& tokens, int64_t length) {
    const int64_t shape[] = {1, length};
    std::vector<std::vector<int64_t>> values;
    std::vector<Ort::Value> inputs;
    for (const auto& name : manifest.inputs) values.push_back(make_input<int64_t>(name, tokens, length));
    for (auto& array : values)
      inputs.push_back(Ort::Value::CreateTensor<int64_t>(memory, array.data(), array.size(), shape, 2));
    auto found = session.Run(Ort::RunOptions{nullptr}, names.data(), inputs.data(), inputs.size(), &output, 1);
    const float* logits = found[0].GetTensorData<float>();
    return std::vector<float>(logits, logits + found[0].GetTensorTypeAndShapeInfo().GetElementCount());
  });
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
