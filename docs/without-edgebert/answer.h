// What the three programs beside this file share: the manifest, the inputs, and how logits become an answer.
// Needs nlohmann/json (Debian: nlohmann-json3-dev).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Manifest {
  std::string model;                // the file that the engine is given
  std::string tokenizer;            // the tokenizer as a graph of the engine; empty where the artifact has none
  std::vector<std::string> labels;  // in the order of the outputs
  std::vector<std::string> inputs;  // their names, in the order that the engine wants
  std::vector<int64_t> lengths;     // the only sequence lengths that the model takes; empty: any
  size_t max_length;                // longer texts are cut by the tokenizer
  std::string out_of_scope;         // the answer when no label is likely enough
  double temperature = 1, threshold = 0;
  std::string precision;            // what OpenVINO computes in
};

inline Manifest read_manifest(const std::string& folder) {
  std::ifstream file(folder + "/manifest.json");
  if (!file) throw std::runtime_error("no manifest.json in " + folder);
  const nlohmann::json json = nlohmann::json::parse(file);
  if (json.at("task") != "text-classification" || json.at("task_settings").at("problem") != "single-label")
    throw std::runtime_error("this program answers with one label");
  Manifest found;
  found.model = folder + "/" + json.at("model_files").at(0).get<std::string>();
  if (json.contains("tokenizer_graph"))
    found.tokenizer = folder + "/" + json["tokenizer_graph"].at("files").at(0).get<std::string>();
  found.labels = json.at("labels").get<std::vector<std::string>>();
  for (const auto& input : json.at("inputs")) found.inputs.push_back(input.at("name"));
  found.lengths = json.at("lengths").get<std::vector<int64_t>>();
  found.max_length = json.at("max_length");
  const auto& settings = json.at("task_settings");
  found.temperature = settings.value("temperature", 1.0);
  if (settings.contains("threshold") && !settings["threshold"].is_null()) {
    found.threshold = settings["threshold"];
    found.out_of_scope = settings.at("out_of_scope");
  }
  found.precision = json.at("settings").value("INFERENCE_PRECISION_HINT", "f32");
  return found;
}

// A text as the tokenizer gives it: ids with special tokens, and for each the text of a pair that it belongs to.
struct Tokens {
  std::vector<int64_t> ids, types;
};

// One line of stdin: ids divided by spaces; a bar stands before the second text of a pair.
inline bool read_tokens(std::istream& in, Tokens& found) {
  std::string line, word;
  if (!std::getline(in, line)) return false;
  found = {};
  int64_t type = 0;
  for (std::istringstream words(line); words >> word;) {
    if (word == "|") {
      type = 1;
    } else {
      found.ids.push_back(std::stoll(word));
      found.types.push_back(type);
    }
  }
  return true;
}

// One line of stdin: a text, or the two of a pair divided by a tab. `run` gives the outputs of the tokenizer's graph
// by name: `input_ids`, and `token_type_ids` where the model has them.
template <typename Run>
bool read_texts(std::istream& in, Tokens& found, Run& run) {
  std::string line;
  if (!std::getline(in, line)) return false;
  std::vector<std::string> texts;
  for (std::istringstream parts(line); std::getline(parts, line, '\t');) texts.push_back(line);
  auto outputs = run(texts);
  found.ids = outputs.at("input_ids");
  found.types = outputs.count("token_type_ids") ? outputs["token_type_ids"] : std::vector<int64_t>(found.ids.size(), 0);
  return true;
}

// The next of the model's lengths; the text's own where any goes.
inline int64_t padded_length(const Manifest& manifest, size_t used) {
  if (used > manifest.max_length) throw std::runtime_error("more tokens than the model reads");
  if (manifest.lengths.empty()) return static_cast<int64_t>(used);
  return *std::lower_bound(manifest.lengths.begin(), manifest.lengths.end(), static_cast<int64_t>(used));
}

// One input, [1, length]: ids and types padded with 0; the mask is 1 where there is a token.
template <typename Number>
std::vector<Number> make_input(const std::string& name, const Tokens& tokens, int64_t length) {
  std::vector<Number> values(static_cast<size_t>(length), 0);
  for (size_t i = 0; i < tokens.ids.size(); ++i)
    values[i] = static_cast<Number>(name == "input_ids" ? tokens.ids[i] : name == "attention_mask" ? 1 : tokens.types[i]);
  return values;
}

// The likeliest label and its probability (softmax of the logits divided by the temperature), tab-separated.
inline void print_answer(const Manifest& manifest, const float* logits) {
  const size_t count = manifest.labels.size();
  const size_t best = static_cast<size_t>(std::max_element(logits, logits + count) - logits);
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += std::exp((logits[i] - logits[best]) / manifest.temperature);
  const double score = 1 / sum;
  const bool rejected = score < manifest.threshold;
  std::printf("%s\t%.6f\n", (rejected ? manifest.out_of_scope : manifest.labels[best]).c_str(), score);
}

// Each line of stdin is made tokens by `read`, and answered by `run`, which gives the logits.
template <typename Read, typename Run>
int answer_all(const Manifest& manifest, Read read, Run run) {
  for (Tokens tokens; read(std::cin, tokens);) {
    const std::vector<float> logits = run(tokens, padded_length(manifest, tokens.ids.size()));
    if (logits.size() != manifest.labels.size()) throw std::runtime_error("not one logit a label");
    print_answer(manifest, logits.data());
  }
  return 0;
}
