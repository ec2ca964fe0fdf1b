// An OpenVINO artifact with OpenVINO alone: openvino ARTIFACT < ids
// g++ -std=c++17 -O2 openvino.cpp -I OPENVINO/include -L OPENVINO/libs -l:libopenvino.so.2641 -o openvino
#include <map>
#include <openvino/openvino.hpp>

#include "answer.h"

int main(int count, char** arguments) try {
  if (count != 2) throw std::runtime_error("usage: openvino ARTIFACT < ids");
  const Manifest manifest = read_manifest(arguments[1]);
  ov::Core core;
  const auto model = core.read_model(manifest.model);
  // The default precision is BF16 or FP16 on newer processors: other numbers than the ones that were checked.
  const ov::AnyMap options = {{"PERFORMANCE_HINT", "LATENCY"},   {"INFERENCE_PRECISION_HINT", manifest.precision},
                              {"NUM_STREAMS", "1"},              {"INFERENCE_NUM_THREADS", 1},
                              {"ENABLE_CPU_PINNING", false}};
  std::map<int64_t, ov::InferRequest> requests;  // compiled for each length on first use

  return answer_all(manifest, [&](const Tokens& tokens, int64_t length) {
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
