import { halfToFloat } from "./half.ts";

// Nibbles of the types with blocks of 32: byte j holds element j in its lower half and element j + 16 in its upper half.

export function dequantiseQ40(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(2 + j);
    out[to + j] = ((byte & 15) - 8) * scale;
    out[to + j + 16] = ((byte >> 4) - 8) * scale;
  }
}

export function dequantiseQ41(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const minimum = halfToFloat(block.getUint16(2, true));
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(4 + j);
    out[to + j] = (byte & 15) * scale + minimum;
    out[to + j + 16] = (byte >> 4) * scale + minimum;
  }
}

export function dequantiseQ50(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const fifthBits = block.getUint32(2, true);
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(6 + j);
    out[to + j] = (((byte & 15) | (((fifthBits >>> j) & 1) << 4)) - 16) * scale;
    out[to + j + 16] = (((byte >> 4) | (((fifthBits >>> (j + 16)) & 1) << 4)) - 16) * scale;
  }
}

export function dequantiseQ51(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const minimum = halfToFloat(block.getUint16(2, true));
  const fifthBits = block.getUint32(4, true);
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(8 + j);
    out[to + j] = ((byte & 15) | (((fifthBits >>> j) & 1) << 4)) * scale + minimum;
    out[to + j + 16] = ((byte >> 4) | (((fifthBits >>> (j + 16)) & 1) << 4)) * scale + minimum;
  }
}

export function dequantiseQ80(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  for (let j = 0; j < 32; j++) out[to + j] = block.getInt8(2 + j) * scale;
}
