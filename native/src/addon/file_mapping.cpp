#include "addon/file_mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "addon/values.h"

namespace idlm {

FileMapping::~FileMapping() { munmap(data_, size_); }

bool FileMapping::contains(const uint8_t* bytes, size_t size) const {
  auto* begin = static_cast<const uint8_t*>(data_);
  return bytes >= begin && size <= size_ && bytes <= begin + (size_ - size);
}

void FileMapping::dropPages(const uint8_t* bytes, size_t size) const {
  // Whole pages only, counted from the start of the mapping, which is page-aligned.
  size_t page = size_t(sysconf(_SC_PAGESIZE)), offset = size_t(bytes - static_cast<const uint8_t*>(data_));
  size_t first = (offset + page - 1) / page * page, last = (offset + size) / page * page;
  if (last > first) madvise(static_cast<uint8_t*>(data_) + first, last - first, MADV_DONTNEED);
}

Napi::Value FileMappings::map(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = Arguments(info, "mapFile").text(0, "path");
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw Napi::Error::New(env, path + ": " + strerror(errno));
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) {
    close(fd);
    throw Napi::Error::New(env, path + ": not a regular file with content");
  }
  size_t size = size_t(st.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  int error = errno;
  close(fd);
  if (data == MAP_FAILED) throw Napi::Error::New(env, path + ": " + strerror(error));
  auto mapping = std::make_shared<const FileMapping>(data, size);
  byAddress_[data] = mapping;
  // The buffer may be collected long after unmapping, when the address is used by another file.
  struct Owner {
    std::shared_ptr<FileMappings> mappings;
    std::weak_ptr<const FileMapping> mapping;
  };
  return Napi::ArrayBuffer::New(
      env, data, size,
      [](Napi::Env, void*, Owner* owner) {
        owner->mappings->release(owner->mapping);
        delete owner;
      },
      new Owner{shared_from_this(), mapping});
}

void FileMappings::unmap(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "unmapFile");
  if (!info[0].IsArrayBuffer()) arguments.fail(0, "buffer", "an ArrayBuffer");
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  void* data = buffer.Data();
  auto found = byAddress_.find(data);
  if (found == byAddress_.end()) return;
  std::shared_ptr<const FileMapping> mapping = found->second;  // keeps it mapped until the views are detached
  buffer.Detach();
  byAddress_.erase(data);
}

void FileMappings::release(const std::weak_ptr<const FileMapping>& released) {
  auto mapping = released.lock();
  if (!mapping) return;
  auto found = byAddress_.find(mapping->data());
  if (found != byAddress_.end() && found->second == mapping) byAddress_.erase(found);
}

std::shared_ptr<const FileMapping> FileMappings::find(const uint8_t* bytes, size_t size) const {
  for (const auto& [data, mapping] : byAddress_)
    if (mapping->contains(bytes, size)) return mapping;
  return nullptr;
}

}  // namespace idlm
