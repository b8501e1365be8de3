import { useEffect, useState } from "preact/hooks";

/** A value that parts of the page share. */
export interface Store<T> {
  get(): T;
  set(next: T): void;
  subscribe(told: () => void): () => void;
}

export function store<T>(first: T): Store<T> {
  let value = first;
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const told of [...listeners]) told();
    },
    subscribe(told) {
      listeners.add(told);
      return () => listeners.delete(told);
    },
  };
}

export function useStore<T>(shared: Store<T>): T {
  const [value, setValue] = useState(shared.get());
  useEffect(() => {
    const told = () => setValue(() => shared.get());
    // It may have changed between the first render and now.
    told();
    return shared.subscribe(told);
  }, [shared]);
  return value;
}
