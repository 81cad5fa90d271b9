// Run the StableHLO module of `jaxcalo export RUN -o FILE --noise --batch-size N` by a PJRT plugin.
//   g++ -O2 -std=c++17 run_stablehlo.cpp -I DIR_OF_pjrt_c_api.h -ldl -o run_stablehlo
//   ./run_stablehlo PLUGIN.so FILE.mlirbc N N_NOISE N_VOXELS ENERGY_MEV [NOISE.bin VOXELS.bin]
#include <dlfcn.h>
#include <pjrt_c_api.h>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

const PJRT_Api* api;
#define ARGS(type, name) PJRT_##type##_Args name = {}; name.struct_size = PJRT_##type##_Args_STRUCT_SIZE
#define CALL(type, name) check(api->PJRT_##type(&name), #type)

void check(PJRT_Error* error, const char* what) {
  if (!error) return;
  ARGS(Error_Message, m); m.error = error; api->PJRT_Error_Message(&m);
  std::fprintf(stderr, "%s: %.*s\n", what, int(m.message_size), m.message); std::exit(1);
}
void wait(PJRT_Event* event) { ARGS(Event_Await, a); a.event = event; CALL(Event_Await, a); }

PJRT_Buffer* upload(PJRT_Client* client, PJRT_Device* device, const std::vector<float>& data, std::vector<int64_t> dims) {
  ARGS(Client_BufferFromHostBuffer, b);
  b.client = client; b.device = device; b.data = data.data(); b.type = PJRT_Buffer_Type_F32;
  b.dims = dims.data(); b.num_dims = dims.size();
  CALL(Client_BufferFromHostBuffer, b); wait(b.done_with_host_buffer); return b.buffer;
}

int main(int argc, char** argv) {
  if (argc != 7 && argc != 9) { std::fprintf(stderr, "see the first lines of the source\n"); return 2; }
  api = ((const PJRT_Api* (*)())dlsym(dlopen(argv[1], RTLD_NOW), "GetPjrtApi"))();
  std::ifstream file(argv[2], std::ios::binary);
  std::string code{std::istreambuf_iterator<char>(file), {}};
  const int64_t n = std::stoll(argv[3]), n_noise = std::stoll(argv[4]), n_voxels = std::stoll(argv[5]);
  ARGS(Plugin_Initialize, p); CALL(Plugin_Initialize, p);
  ARGS(Client_Create, c); CALL(Client_Create, c);
  ARGS(Client_AddressableDevices, d); d.client = c.client; CALL(Client_AddressableDevices, d);
  PJRT_Program program = {PJRT_Program_STRUCT_SIZE, nullptr, code.data(), code.size(), "mlir", 4};
  const std::string options = "\x1a\x04\x20\x01\x28\x01";  // CompileOptionsProto: 1 replica, 1 partition
  ARGS(Client_Compile, k); k.client = c.client; k.program = &program;
  k.compile_options = options.data(); k.compile_options_size = options.size(); CALL(Client_Compile, k);
  std::vector<float> noise(n * n_noise), energy(n, std::stof(argv[6])), voxels(n * n_voxels);
  std::mt19937 engine(1); std::normal_distribution<float> normal;
  for (float& z : noise) z = normal(engine);
  if (argc == 9) std::ifstream(argv[7], std::ios::binary).read((char*)noise.data(), 4 * noise.size());
  PJRT_Device* device = d.addressable_devices[0];
  PJRT_Buffer *in[] = {upload(c.client, device, noise, {n, n_noise}), upload(c.client, device, energy, {n})}, *out[1];
  PJRT_Buffer *const* inputs = in; PJRT_Buffer** outputs = out;
  PJRT_ExecuteOptions o = {}; o.struct_size = PJRT_ExecuteOptions_STRUCT_SIZE;
  ARGS(LoadedExecutable_Execute, x); x.executable = k.executable; x.options = &o; x.num_devices = 1; x.num_args = 2;
  x.argument_lists = &inputs; x.output_lists = &outputs; CALL(LoadedExecutable_Execute, x);
  ARGS(Buffer_ToHostBuffer, h); h.src = out[0]; h.dst = voxels.data(); h.dst_size = 4 * voxels.size();
  CALL(Buffer_ToHostBuffer, h); wait(h.event);
  if (argc == 9) std::ofstream(argv[8], std::ios::binary).write((char*)voxels.data(), 4 * voxels.size());
  double sum = 0; for (float e : voxels) sum += e;
  std::printf("%lld showers, %.1f MeV each\n", (long long)n, sum / n);
}
