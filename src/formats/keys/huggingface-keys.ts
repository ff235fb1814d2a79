import { all, ignored, type KeyTable, read, refused } from "./key-table.ts";

const training = ignored("for training, or for how other programs run the model");

/** `config.json` of Llama, Qwen2 and Qwen3. */
export const configKeys: KeyTable = {
  file: "config.json",
  keys: {
    ...all(
      "model_type hidden_size intermediate_size num_hidden_layers num_attention_heads",
      read("sizes and architecture"),
    ),
    ...all("num_key_value_heads head_dim vocab_size max_position_embeddings", read("sizes")),
    ...all("rms_norm_eps tie_word_embeddings eos_token_id", read("")),
    ...all(
      "rope_theta rope_scaling rope_parameters",
      read("the rotary embedding; unknown types and keys, and a factor without a type, are refused"),
    ),
    original_max_position_embeddings: read("for scalings of the rotary embedding"),
    partial_rotary_factor: refused("All dimensions are rotated", 1),
    hidden_act: refused("The activation is SiLU", "silu"),
    mlp_bias: refused("Linear layers of the MLP have no bias", false),
    attention_bias: read("refused where the architecture has none"),
    quantization_config: refused("Use the GGUF file, or the model in bfloat16"),
    ...all(
      "use_sliding_window sliding_window max_window_layers",
      read("windows of Qwen2 and Qwen3; refused for Llama"),
    ),
    layer_types: read("full_attention, and for Qwen2 and Qwen3 sliding_attention; others are refused"),
    attention_chunk_size: refused("Attention is not chunked"),
    ...all("no_rope_layers no_rope_layer_interval", refused("All layers are rotated")),
    rotary_pct: refused("All dimensions are rotated", 1),
    ...all("use_qk_norm qk_layernorm qk_norm", refused("The architecture decides about norms of q and k", false)),
    ...all("clip_qkv query_pre_attn_scalar", refused("Attention has no such clamp or scale")),
    ...all("attn_temperature_tuning alibi", refused("Attention has no such bias or scale", false)),
    logit_scale: refused("Logits are not scaled", 1),
    attention_multiplier: refused("The attention's scale is 1/√head_dim"),
    embedding_multiplier: refused("Embeddings are not scaled", 1),
    logits_scaling: refused("Logits are not scaled", 1),
    residual_multiplier: refused("Residuals are not scaled", 1),
    ...all("final_logit_softcapping attn_logit_softcapping", refused("Logits are not capped")),
    ...all("num_experts num_local_experts n_routed_experts", refused("Mixtures of experts are not read", 0, 1)),
    ...all(
      "architectures auto_map torch_dtype dtype transformers_version _name_or_path",
      ignored("the tensors decide"),
    ),
    ...all("_attn_implementation _attn_implementation_autoset attn_implementation use_cache pretraining_tp", training),
    ...all(
      "attention_dropout hidden_dropout initializer_range gradient_checkpointing resid_pdrop embd_pdrop",
      training,
    ),
    is_decoder: ignored("all are"),
    ...all("output_attentions output_hidden_states return_dict return_dict_in_generate torchscript", training),
    ...all("id2label label2id num_labels problem_type finetuning_task task_specific_params", ignored("of other tasks")),
    ...all("is_encoder_decoder add_cross_attention cross_attention_hidden_size", refused("Only decoders run", false)),
    ...all(
      "bos_token_id pad_token_id sep_token_id decoder_start_token_id unk_token_id",
      ignored("the tokenizer's files decide"),
    ),
    ...all(
      "rope_interleaved is_llama_config transformers.js_config unsloth_fixed unsloth_version",
      ignored("of other programs"),
    ),
    tokenizer_class: read("unless tokenizer_config.json has one"),
    ...all(
      "pruned_heads chunk_size_feed_forward tie_encoder_decoder prefix use_bfloat16 tf_legacy_loss",
      ignored("of transformers"),
    ),
    ...all(
      "max_length min_length do_sample temperature top_k top_p typical_p repetition_penalty length_penalty",
      ignored("requests decide"),
    ),
    ...all(
      "num_beams num_beam_groups diversity_penalty early_stopping no_repeat_ngram_size",
      ignored("requests decide"),
    ),
    ...all("encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores", ignored("requests decide")),
    ...all(
      "forced_bos_token_id forced_eos_token_id remove_invalid_values exponential_decay_length_penalty",
      ignored("requests decide"),
    ),
    ...all("suppress_tokens begin_suppress_tokens", ignored("requests decide")),
  },
};

/** `generation_config.json`. */
export const generationConfigKeys: KeyTable = {
  file: "generation_config.json",
  keys: {
    eos_token_id: read("these tokens end a generation"),
    "*": ignored("requests decide about sampling and lengths"),
  },
};

/** `tokenizer_config.json`. */
export const tokenizerConfigKeys: KeyTable = {
  file: "tokenizer_config.json",
  keys: {
    "*_token": read(
      "special tokens: variables of the chat template; bos_token and eos_token also decide which ids these are",
    ),
    ...all(
      "extra_special_tokens additional_special_tokens model_specific_special_tokens",
      read("named ones: variables of the chat template"),
    ),
    added_tokens_decoder: ignored(
      "tokenizer.json has the tokens; without it special_tokens_map.json counts, as in transformers",
    ),
    add_bos_token: read("whether BOS is put before raw texts"),
    add_eos_token: ignored("prompts are continued, so no end is put after them"),
    tokenizer_class: read("defaults of its special tokens for the chat template"),
    chat_template: read(
      "unless there is a chat_template.jinja; of named ones default, and tool_use where tools are given",
    ),
    ...all(
      "add_prefix_space legacy use_default_system_prompt split_special_tokens spaces_between_special_tokens",
      ignored("tokenizer.json decides"),
    ),
    ...all(
      "clean_up_tokenization_spaces errors sp_model_kwargs use_fast backend is_local local_files_only",
      ignored("of transformers"),
    ),
    ...all(
      "model_max_length max_length padding padding_side truncation truncation_side truncation_strategy stride",
      ignored("requests are not cut or padded"),
    ),
    ...all(
      "pad_to_multiple_of pad_token_type_id model_input_names processor_class auto_map name_or_path",
      ignored("of transformers"),
    ),
    ...all("special_tokens_map_file tokenizer_file vocab_size unk_id", ignored("tokenizer.json decides")),
    ...all("response_schema return_tensors return_attention_mask do_lower_case", ignored("of transformers")),
  },
};

/** `tokenizer.json`. */
export const tokenizerKeys: KeyTable = {
  file: "tokenizer.json",
  keys: {
    added_tokens: read("with the flags special, single_word, lstrip, rstrip and normalized"),
    normalizer: read("others than none, NFC and Llama 2's spaces are refused"),
    pre_tokenizer: read("unknown ones are refused; without ByteLevel or byte_fallback the vocabulary has characters"),
    model: read(
      "BPE with its vocabulary and merges, ignore_merges and byte_fallback; dropout, prefixes and suffixes of words are refused",
    ),
    post_processor: read("whether a token is put before each text; unknown ones are refused"),
    decoder: read(
      "whether a space is taken from the beginning of a text; others than byte-level ones and Llama 2's are refused",
    ),
    ...all("truncation padding", ignored("requests are not cut or padded")),
    version: ignored(""),
  },
};
