// A TFLite artifact with LiteRT alone: litert ARTIFACT < ids
// g++ -std=c++17 -O2 litert.cpp -L LITERT -lLiteRt -o litert
//
// LiteRT's Python wheel and its Android package hold the library; the few functions that are used are declared here
// as LiteRT 2 exports them, for where its headers are not at hand.
#include <map>

#include "answer.h"

extern "C" {
typedef struct LiteRtEnvironmentT* LiteRtEnvironment;
typedef struct LiteRtModelT* LiteRtModel;
typedef struct LiteRtSignatureT* LiteRtSignature;
typedef struct LiteRtTensorT* LiteRtTensor;
typedef struct LiteRtOptionsT* LiteRtOptions;
typedef struct LiteRtCompiledModelT* LiteRtCompiledModel;
typedef struct LiteRtTensorBufferT* LiteRtTensorBuffer;
typedef struct LiteRtTensorBufferRequirementsT* LiteRtRequirements;
struct TensorType {  // element type and shape, only handed on
  alignas(8) unsigned char opaque[256];
};
enum { kCpu = 1, kRead = 0, kWrite = 1 };

int LiteRtCreateEnvironment(int, const void*, LiteRtEnvironment*);
int LiteRtCreateModelFromFile(LiteRtEnvironment, const char*, LiteRtModel*);
int LiteRtCreateOptions(LiteRtOptions*);
int LiteRtSetOptionsHardwareAccelerators(LiteRtOptions, int);
int LiteRtCreateCompiledModel(LiteRtEnvironment, LiteRtModel, LiteRtOptions, LiteRtCompiledModel*);
int LiteRtGetNumModelSignatures(LiteRtModel, size_t*);
int LiteRtGetModelSignature(LiteRtModel, size_t, LiteRtSignature*);
int LiteRtGetSignatureKey(LiteRtSignature, const char**);
int LiteRtGetNumSignatureInputs(LiteRtSignature, size_t*);
int LiteRtGetSignatureInputName(LiteRtSignature, size_t, const char**);
int LiteRtGetSignatureInputTensorByIndex(LiteRtSignature, size_t, LiteRtTensor*);
int LiteRtGetSignatureOutputTensorByIndex(LiteRtSignature, size_t, LiteRtTensor*);
int LiteRtGetRankedTensorType(LiteRtTensor, TensorType*);
int LiteRtGetCompiledModelInputBufferRequirements(LiteRtCompiledModel, size_t, size_t, LiteRtRequirements*);
int LiteRtGetCompiledModelOutputBufferRequirements(LiteRtCompiledModel, size_t, size_t, LiteRtRequirements*);
int LiteRtCreateManagedTensorBufferFromRequirements(LiteRtEnvironment, const TensorType*, LiteRtRequirements,
                                                    LiteRtTensorBuffer*);
int LiteRtLockTensorBuffer(LiteRtTensorBuffer, void**, int);
int LiteRtUnlockTensorBuffer(LiteRtTensorBuffer);
int LiteRtRunCompiledModel(LiteRtCompiledModel, size_t, size_t, LiteRtTensorBuffer*, size_t, LiteRtTensorBuffer*);
}

static void check(int status, const char* what) {
  if (status != 0) throw std::runtime_error(std::string(what) + ": LiteRT status " + std::to_string(status));
}

// The model's signature for one sequence length, with buffers for its inputs and its output.
struct Signature {
  size_t index;
  std::vector<std::string> names;
  std::vector<LiteRtTensorBuffer> inputs;
  LiteRtTensorBuffer output;
};

int main(int count, char** arguments) try {
  if (count != 2) throw std::runtime_error("usage: litert ARTIFACT < ids");
  const Manifest manifest = read_manifest(arguments[1]);
  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtOptions options;
  LiteRtCompiledModel compiled;
  check(LiteRtCreateEnvironment(0, nullptr, &environment), "environment");
  check(LiteRtCreateModelFromFile(environment, manifest.model.c_str(), &model), "model");
  check(LiteRtCreateOptions(&options), "options");
  check(LiteRtSetOptionsHardwareAccelerators(options, kCpu), "accelerator");
  check(LiteRtCreateCompiledModel(environment, model, options, &compiled), "compilation");

  std::map<int64_t, Signature> signatures;  // "seq16" and so on
  size_t number;
  check(LiteRtGetNumModelSignatures(model, &number), "signatures");
  for (size_t index = 0; index < number; ++index) {
    LiteRtSignature signature;
    const char *key, *name;
    size_t inputs;
    LiteRtTensor tensor;
    TensorType type;
    LiteRtRequirements wanted;
    Signature made{index, {}, {}, nullptr};
    check(LiteRtGetModelSignature(model, index, &signature), "signature");
    check(LiteRtGetSignatureKey(signature, &key), "key");
    check(LiteRtGetNumSignatureInputs(signature, &inputs), "inputs");
    for (size_t i = 0; i < inputs; ++i) {
      LiteRtTensorBuffer buffer;
      check(LiteRtGetSignatureInputName(signature, i, &name), "input name");
      check(LiteRtGetSignatureInputTensorByIndex(signature, i, &tensor), "input");
      check(LiteRtGetRankedTensorType(tensor, &type), "input type");
      check(LiteRtGetCompiledModelInputBufferRequirements(compiled, index, i, &wanted), "input buffer");
      check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, wanted, &buffer), "input buffer");
      made.names.push_back(name);
      made.inputs.push_back(buffer);
    }
    check(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor), "output");
    check(LiteRtGetRankedTensorType(tensor, &type), "output type");
    check(LiteRtGetCompiledModelOutputBufferRequirements(compiled, index, 0, &wanted), "output buffer");
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, wanted, &made.output), "output buffer");
    signatures[std::stoll(std::string(key).substr(3))] = made;
  }

  return answer_all(manifest, read_tokens, [&](const Tokens& tokens, int64_t length) {
    Signature& signature = signatures.at(length);
    void* memory;
    for (size_t i = 0; i < signature.inputs.size(); ++i) {
      const auto values = make_input<int32_t>(signature.names[i], tokens, length);
      check(LiteRtLockTensorBuffer(signature.inputs[i], &memory, kWrite), "lock");
      std::copy(values.begin(), values.end(), static_cast<int32_t*>(memory));
      check(LiteRtUnlockTensorBuffer(signature.inputs[i]), "unlock");
    }
    check(LiteRtRunCompiledModel(compiled, signature.index, signature.inputs.size(), signature.inputs.data(), 1,
                                 &signature.output),
          "run");
    check(LiteRtLockTensorBuffer(signature.output, &memory, kRead), "lock");
    const float* logits = static_cast<const float*>(memory);
    const std::vector<float> found(logits, logits + manifest.labels.size());
    check(LiteRtUnlockTensorBuffer(signature.output), "unlock");
    return found;
  });
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
