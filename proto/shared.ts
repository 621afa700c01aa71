import type { Undo } from './undo.ts';

interface Holding<T> {
  count: number;
  readonly made: Promise<{ readonly value: T; readonly undo: Undo }>;
}

/**
 * Things that several use at the same time, each by its key: made for the first of them, given back
 * with the last. One that is asked for while it is being given back is made anew after that.
 */
export class Shared<T> {
  readonly #newUndo: () => Undo;
  readonly #held = new Map<string, Holding<T>>();
  readonly #leaving = new Map<string, Promise<void>>();

  /** @param newUndo takes what `make` acquires */
  constructor(newUndo: () => Undo) {
    this.#newUndo = newUndo;
  }

  /**
   * @param make called for the first user; a failure is told to all who wait for it, and forgotten
   * @param undo gets the way back
   */
  async use(key: string, make: (undo: Undo) => Promise<T>, undo: Undo): Promise<T> {
    const holding = this.#held.get(key) ?? this.#make(key, make);
    holding.count++;
    const { value } = await holding.made;
    undo.add(`release ${key}`, () => this.#release(key, holding));
    return value;
  }

  #make(key: string, make: (undo: Undo) => Promise<T>): Holding<T> {
    const made = (async () => {
      await this.#leaving.get(key);
      await using own = this.#newUndo();
      const value = await make(own);
      return { value, undo: own.move() };
    })();
    const holding = { count: 0, made };
    this.#held.set(key, holding);
    // nobody holds what was not made
    made.catch(() => this.#held.delete(key));
    return holding;
  }

  async #release(key: string, holding: Holding<T>): Promise<void> {
    if (--holding.count > 0) return;
    this.#held.delete(key);
    const leaving = holding.made.then(({ undo }) => undo.run());
    this.#leaving.set(key, leaving);
    await leaving;
    if (this.#leaving.get(key) === leaving) this.#leaving.delete(key);
  }
}
