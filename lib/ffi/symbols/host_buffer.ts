/** Host memory that a call reads or writes before it returns; `null` is a null pointer. */
export type HostBuffer = ArrayBufferView<ArrayBuffer> | ArrayBuffer | null;
