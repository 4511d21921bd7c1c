// The salted hash of a request, as the market computes it. What is absent means the same as its neutral value.
import { opt, tag, type Assurance, type JobRequest, type Parameters, type Sampling, type Task } from "../ic/types.ts";
import { Hasher } from "./hasher.ts";

export function requestHash(request: JobRequest, salt: Uint8Array): Promise<Uint8Array> {
  const hasher = new Hasher("assay-request-1").bytes(salt);
  if ("Name" in request.model) hasher.text("name").text(request.model.Name);
  else hasher.text("version").bytes(request.model.Version);
  addTask(hasher, request.task);
  addParameters(hasher, request.parameters);
  hasher.option(opt(request.seed));
  addAssurance(hasher, request.assurance);
  return hasher.finish();
}

function addTask(hasher: Hasher, task: Task): void {
  if ("Chat" in task) {
    const { messages } = task.Chat;
    hasher.text("chat").u64(messages.length);
    for (const message of messages) {
      const calls = opt(message.tool_calls) ?? [];
      hasher.text(tag(message.role).toLowerCase()).text(message.content).u64(calls.length);
      for (const { id, name, arguments: given } of calls) hasher.text(id).text(name).text(given);
      hasher.text(opt(message.tool_call_id) ?? "");
    }
    const tools = opt(task.Chat.tools) ?? [];
    hasher.u64(tools.length);
    for (const tool of tools) hasher.text(tool.name).text(opt(tool.description) ?? "").text(opt(tool.parameters) ?? "");
  } else if ("Completion" in task) hasher.text("completion").text(task.Completion.prompt);
  else if ("Embedding" in task) hasher.text("embedding").text(task.Embedding.text);
  else hasher.text("training").bytes(task.Training.checkpoint_root);
}

export function addParameters(hasher: Hasher, parameters: Parameters): void {
  hasher.u64(parameters.max_tokens);
  addSampling(hasher, parameters.sampling);
  const stops = opt(parameters.stop) ?? [];
  hasher.u64(stops.length);
  for (const stop of stops) hasher.text(stop);
  const format = opt(parameters.format);
  if (format === undefined || "Text" in format) hasher.text("text");
  else if ("JsonObject" in format) hasher.text("json object");
  else hasher.text("json schema").text(format.JsonSchema);
  hasher.option(opt(parameters.logprobs));
}

function addSampling(hasher: Hasher, sampling: Sampling): void {
  const biases = opt(sampling.logit_bias) ?? [];
  hasher
    .u64(sampling.temperature_milli)
    .u64(sampling.top_p_ppm)
    .u64(sampling.top_k)
    .u64(opt(sampling.min_p_ppm) ?? 0)
    .u64(opt(sampling.repetition_penalty_milli) ?? 1_000)
    .u64(opt(sampling.repetition_window) ?? 0)
    .i64(opt(sampling.presence_penalty_milli) ?? 0)
    .i64(opt(sampling.frequency_penalty_milli) ?? 0)
    .u64(biases.length);
  for (const { token, milli } of biases) hasher.u64(token).i64(milli);
}

export function addAssurance(hasher: Hasher, assurance: Assurance): void {
  if ("Single" in assurance) hasher.text("single");
  else if ("Checked" in assurance) hasher.text("checked").u64(assurance.Checked.checkers);
  else if ("Equality" in assurance) hasher.text("equality").u64(assurance.Equality.total);
  else if ("Threshold" in assurance) hasher.text("threshold").u64(assurance.Threshold.total).u64(assurance.Threshold.min);
  else hasher.text("refereed");
}
