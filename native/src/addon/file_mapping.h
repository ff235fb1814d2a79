// Maps files read-only, as ArrayBuffers.
#pragma once
#include <napi.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace idlm {

// Unmapped with its last owner: the mappings of its environment, or loads that read it.
class FileMapping {
 public:
  FileMapping(void* data, size_t size) : data_(data), size_(size) {}
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;
  ~FileMapping();
  void* data() const { return data_; }
  size_t size() const { return size_; }
  bool contains(const uint8_t* bytes, size_t size) const;
  // Frees the memory of a range that has been read; it is read from the file again if needed.
  void dropPages(const uint8_t* bytes, size_t size) const;

 private:
  void* data_;
  size_t size_;
};

// The mappings of one environment, used on its thread only.
class FileMappings : public std::enable_shared_from_this<FileMappings> {
 public:
  Napi::Value map(const Napi::CallbackInfo& info);  // (path): ArrayBuffer
  void unmap(const Napi::CallbackInfo& info);       // (buffer)
  // The mapping of these bytes, for reads on another thread; null: not mapped.
  std::shared_ptr<const FileMapping> find(const uint8_t* bytes, size_t size) const;

 private:
  void release(const std::weak_ptr<const FileMapping>& mapping);
  std::unordered_map<void*, std::shared_ptr<const FileMapping>> byAddress_;
};

}  // namespace idlm
