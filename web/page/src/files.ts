// Files of one song: in the browser's private file system where it has one, else in memory.

/** What tracks and downloads are written to, in order. */
export interface Store {
  append(bytes: Uint8Array<ArrayBuffer>): void;
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Everything, once nothing more is written. */
  blob(): Promise<Blob>;
  close(): void;
}

const PREFIX = "onnx-demucs-";

/** A folder that goes when its song goes, and with the next visit if the browser was closed before. */
export class Folder {
  private constructor(
    private readonly name: string,
    private readonly root: FileSystemDirectoryHandle | undefined,
    private readonly folder: FileSystemDirectoryHandle | undefined,
    private readonly release: () => void,
  ) {}

  static async create(): Promise<Folder> {
    const name = `${PREFIX}${crypto.randomUUID()}`;
    try {
      const root = await navigator.storage.getDirectory();
      const release = await held(name);
      await removeAbandoned(root);
      const folder = await root.getDirectoryHandle(name, { create: true });
      return new Folder(name, root, folder, release);
    } catch {
      return new Folder(name, undefined, undefined, () => {});
    }
  }

  /** False where the browser has no private file system, or denies it. */
  get onDisk(): boolean {
    return this.folder !== undefined;
  }

  async store(name: string): Promise<Store> {
    if (!this.folder) return new MemoryStore();
    const file = await this.folder.getFileHandle(name, { create: true });
    return new DiskStore(file, await file.createSyncAccessHandle());
  }

  /** Removes one file. */
  async drop(name: string): Promise<void> {
    await this.folder?.removeEntry(name).catch(() => {});
  }

  async remove(): Promise<void> {
    await this.root?.removeEntry(this.name, { recursive: true }).catch(() => {});
    this.release();
  }
}

class DiskStore implements Store {
  #size = 0;

  constructor(
    private readonly file: FileSystemFileHandle,
    private readonly handle: FileSystemSyncAccessHandle,
  ) {
    handle.truncate(0);
  }

  append(bytes: Uint8Array<ArrayBuffer>): void {
    for (let written = 0; written < bytes.length; ) {
      const count = this.handle.write(bytes.subarray(written), { at: this.#size });
      if (count === 0) throw new DOMException("the disk takes no more", "QuotaExceededError");
      written += count;
      this.#size += count;
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    this.handle.read(bytes, { at: offset });
    return bytes;
  }

  async blob(): Promise<Blob> {
    this.handle.close();
    return this.file.getFile();
  }

  close(): void {
    this.handle.close();
  }
}

class MemoryStore implements Store {
  #content = new Blob();

  append(bytes: Uint8Array<ArrayBuffer>): void {
    this.#content = new Blob([this.#content, bytes]);
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.#content.slice(offset, offset + length).arrayBuffer());
  }

  async blob(): Promise<Blob> {
    return this.#content;
  }

  close(): void {
    this.#content = new Blob();
  }
}

/** Takes the lock of a folder, which ends with this worker at the latest. */
function held(name: string): Promise<() => void> {
  return new Promise((taken, failed) => {
    navigator.locks.request(name, () => new Promise<void>((release) => taken(release))).catch(failed);
  });
}

/** Removes what was left where a browser was closed during a song. */
async function removeAbandoned(root: FileSystemDirectoryHandle): Promise<void> {
  const locks = new Set((await navigator.locks.query()).held?.map((lock) => lock.name));
  for await (const name of root.keys())
    if (name.startsWith(PREFIX) && !locks.has(name))
      await root.removeEntry(name, { recursive: true }).catch(() => {});
}
