import { useState } from "preact/hooks";
import { enableKeys, keysEnabled } from "../lib/keys";
import type { Section } from "../sections/section";
import { Dialog } from "./dialog";

export function Help({ links, onClose }: { links: Section[]; onClose: () => void }) {
  const [on, setOn] = useState(keysEnabled());
  const rows = [
    { keys: "?", does: "This help" },
    ...links.map(({ nav }) => ({ keys: `g ${nav?.key}`, does: `Go to ${nav?.label.toLowerCase()}` })),
    { keys: "j k", does: "Next and previous in a list" },
    { keys: "Enter", does: "Open what is selected" },
    ...links.flatMap((section) => section.keys ?? []),
    { keys: "Esc", does: "Close, or step back" },
  ];
  return (
    <Dialog title="Help" onClose={onClose}>
      <p>
        Agents reach databases through the gateway, and everything that they do is on record before it happens. Here
        people answer what policy wants them to see first, look at what runs, and end it.
      </p>
      <h3>Keys</h3>
      <dl class="keys">
        {rows.map(({ keys, does }) => (
          <div key={keys}>
            <dt>
              {keys.split(" ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input
          type="checkbox"
          checked={on}
          onChange={(event) => {
            enableKeys(event.currentTarget.checked);
            setOn(event.currentTarget.checked);
          }}
        />
        Use single keys (turned off, they stay off until this page is loaded again)
      </label>
    </Dialog>
  );
}
