/** Tiny libraries to open in place of a kernel library. */

/** A compiled file, removed when disposed. */
export interface TinyLibrary extends Disposable {
  readonly path: string;
}

/** Build information longer than the buffer of the first attempt to read it. */
const BUILD_INFO = `
  #include <string.h>
  int remoe_build_info(char* buffer, unsigned long length) {
    static char text[4000];
    strcpy(text, "{\\"backend\\":\\"cuda\\",\\"compiler\\":\\"");
    memset(text + strlen(text), 'x', 3000);
    strcat(text, "\\"}");
    unsigned long needed = strlen(text);
    memcpy(buffer, text, needed < length ? needed : length);
    return (int)needed;
  }
`;

/** Whether a C compiler is installed. */
export function canBuild(): boolean {
  try {
    return new Deno.Command("cc", { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch {
    return false;
  }
}

/**
 * Compiles a library.
 *
 * @param source C source.
 * @param options Whether to add the build information of a CUDA library.
 */
export function buildLibrary(source: string, { info = true } = {}): TinyLibrary {
  const directory = Deno.makeTempDirSync({ prefix: "remoe_library" });
  const [file, path] = [`${directory}/tiny.c`, `${directory}/libtiny.so`];
  Deno.writeTextFileSync(file, info ? BUILD_INFO + source : source);
  const { success, stderr } = new Deno.Command("cc", {
    args: ["-shared", "-fPIC", "-o", path, file],
  }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return {
    path,
    [Symbol.dispose]: () => Deno.removeSync(directory, { recursive: true }),
  };
}
