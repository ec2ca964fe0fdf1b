// An ONNX artifact with ONNX Runtime alone: onnx ARTIFACT < ids
// With the library of onnxruntime-extensions and a tokenizer in the artifact: onnx ARTIFACT LIBRARY < texts
// g++ -std=c++17 -O2 onnx.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o onnx
#include <onnxruntime_cxx_api.h>

#include <map>
#include <memory>

#include "answer.h"

// The tokenizer's graph: text in, token ids out, already cut at the model's longest length.
class Tokenizer {
 public:
  Tokenizer(const Ort::Env& environment, const std::string& path, const char* library) {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    options.RegisterCustomOpsLibrary(library);
    session_ = Ort::Session(environment, path.c_str(), options);
  }

  std::map<std::string, std::vector<int64_t>> operator()(const std::vector<std::string>& texts) {
    if (texts.size() != session_.GetInputCount()) throw std::runtime_error("not as many texts as the model reads");
    Ort::AllocatorWithDefaultOptions allocator;
    const char* names[] = {"text", "text_pair"};
    const int64_t shape[] = {1};
    std::vector<Ort::Value> inputs;
    for (const auto& text : texts) {
      inputs.push_back(Ort::Value::CreateTensor(allocator, shape, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING));
      inputs.back().FillStringTensorElement(text.c_str(), 0);
    }
    std::vector<std::string> made;
    std::vector<const char*> outputs;
    for (size_t i = 0; i < session_.GetOutputCount(); ++i)
      made.push_back(session_.GetOutputNameAllocated(i, allocator).get());
    for (const auto& name : made) outputs.push_back(name.c_str());
    auto values = session_.Run(Ort::RunOptions{nullptr}, names, inputs.data(), inputs.size(), outputs.data(), made.size());
    std::map<std::string, std::vector<int64_t>> found;
    for (size_t i = 0; i < made.size(); ++i) {
      const int64_t* data = values[i].GetTensorData<int64_t>();
      found[made[i]].assign(data, data + values[i].GetTensorTypeAndShapeInfo().GetElementCount());
    }
    return found;
  }

 private:
  Ort::Session session_{nullptr};
};

int main(int count, char** arguments) try {
  if (count != 2 && count != 3) throw std::runtime_error("usage: onnx ARTIFACT < ids, or onnx ARTIFACT LIBRARY < texts");
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

  std::unique_ptr<Tokenizer> tokenizer;
  if (count == 3) {
    if (manifest.tokenizer.empty()) throw std::runtime_error("the artifact has no tokenizer graph");
    tokenizer = std::make_unique<Tokenizer>(environment, manifest.tokenizer, arguments[2]);
  }
  const auto read = [&](std::istream& in, Tokens& tokens) {
    return tokenizer ? read_texts(in, tokens, *tokenizer) : read_tokens(in, tokens);
  };

  return answer_all(manifest, read, [&](const Tokens& tokens, int64_t length) {
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
