// An OpenVINO artifact with OpenVINO alone: openvino ARTIFACT < ids
// With the library of openvino-tokenizers and a tokenizer in the artifact: openvino ARTIFACT LIBRARY < texts
// g++ -std=c++17 -O2 openvino.cpp -I OPENVINO/include -L OPENVINO/libs -l:libopenvino.so.2641 -o openvino
#include <map>
#include <openvino/openvino.hpp>

#include "answer.h"

int main(int count, char** arguments) try {
  if (count != 2 && count != 3)
    throw std::runtime_error("usage: openvino ARTIFACT < ids, or openvino ARTIFACT LIBRARY < texts");
  const Manifest manifest = read_manifest(arguments[1]);
  ov::Core core;
  const auto model = core.read_model(manifest.model);
  // The default precision is BF16 or FP16 on newer processors: other numbers than the ones that were checked.
  const ov::AnyMap options = {{"PERFORMANCE_HINT", "LATENCY"},   {"INFERENCE_PRECISION_HINT", manifest.precision},
                              {"NUM_STREAMS", "1"},              {"INFERENCE_NUM_THREADS", 1},
                              {"ENABLE_CPU_PINNING", false}};
  std::map<int64_t, ov::InferRequest> requests;  // compiled for each length on first use

  // The tokenizer's graph: text in, token ids out, already cut at the model's longest length.
  ov::CompiledModel tokenizer;
  if (count == 3) {
    if (manifest.tokenizer.empty()) throw std::runtime_error("the artifact has no tokenizer graph");
    core.add_extension(std::string(arguments[2]));
    tokenizer = core.compile_model(manifest.tokenizer, "CPU", ov::AnyMap{{"INFERENCE_NUM_THREADS", 1}});
  }
  const auto tokenize = [&](const std::vector<std::string>& texts) {
    if (texts.size() != tokenizer.inputs().size()) throw std::runtime_error("not as many texts as the model reads");
    ov::InferRequest request = tokenizer.create_infer_request();
    for (size_t i = 0; i < texts.size(); ++i) {
      ov::Tensor tensor(ov::element::string, ov::Shape{1});
      tensor.data<std::string>()[0] = texts[i];
      request.set_input_tensor(i, tensor);
    }
    request.infer();
    std::map<std::string, std::vector<int64_t>> found;
    for (const auto& output : tokenizer.outputs()) {
      const ov::Tensor tensor = request.get_tensor(output);
      found[output.get_any_name()].assign(tensor.data<int64_t>(), tensor.data<int64_t>() + tensor.get_size());
    }
    return found;
  };
  const auto read = [&](std::istream& in, Tokens& tokens) {
    return count == 3 ? read_texts(in, tokens, tokenize) : read_tokens(in, tokens);
  };

  return answer_all(manifest, read, [&](const Tokens& tokens, int64_t length) {
    if (requests.count(length) == 0) {
      const auto shaped = model->clone();
      std::map<std::string, ov::PartialShape> shapes;
      for (const auto& name : manifest.inputs) shapes[name] = ov::PartialShape{1, length};
      shaped->reshape(shapes);
      requests[length] = core.compile_model(shaped, "CPU", options).create_infer_request();
    }
    ov::InferRequest& request = requests[length];
    for (const auto& name : manifest.inputs) {
      const auto values = make_input<int64_t>(name, tokens, length);
      std::copy(values.begin(), values.end(), request.get_tensor(name).data<int64_t>());
    }
    request.infer();
    const ov::Tensor logits = request.get_tensor("logits");
    return std::vector<float>(logits.data<float>(), logits.data<float>() + logits.get_size());
  });
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
