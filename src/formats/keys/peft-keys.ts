import { all, ignored, type KeyTable, read, refused } from "./key-table.ts";

/** `adapter_config.json` of PEFT. A key that is not listed is refused if its feature is switched on. */
export const peftKeys: KeyTable = {
  file: "adapter_config.json",
  keys: {
    peft_type: read("LORA; others are refused"),
    ...all("r lora_alpha rank_pattern alpha_pattern use_rslora", read("ranks and scales")),
    ...all(
      "target_modules exclude_modules layers_to_transform layers_pattern",
      read("modules with weights have to be targets, by PEFT's rules"),
    ),
    bias: read('refused unless "none"'),
    init_lora_weights: read("refused if it changes the base model's weights"),
    base_model_name_or_path: read("shown only"),
    ...all("use_dora lora_bias use_qalora use_bdlora", refused("Only plain LoRA on linear layers is", false)),
    ...all(
      "modules_to_save trainable_token_indices layer_replication target_parameters",
      refused("Only plain LoRA on linear layers is"),
    ),
    ...all(
      "alora_invocation_tokens arrow_config corda_config loftq_config megatron_config",
      refused("Only plain LoRA on linear layers is"),
    ),
    fan_in_fan_out: ignored("false for linear layers, whatever it says, as in PEFT"),
    ...all(
      "auto_mapping ensure_weight_tying eva_config inference_mode lora_dropout lora_ga_config",
      ignored("for training"),
    ),
    ...all("megatron_core peft_version qalora_group_size revision runtime_config task_type", ignored("for training")),
  },
};
