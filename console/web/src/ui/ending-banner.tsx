import type { SessionInfo } from "../lib/contract";
import { useStore } from "../lib/store";
import { clock, secondsUntil } from "../lib/time";
import { place, signInHref } from "../state/place";
import { useNow } from "../state/ticker";

/** Said so long before the end. */
const WARN_S = 120;
/** A sign-in that should have been renewed by then, and was not. */
const WARN_RENEWABLE_S = 40;

/** Says that the sign-in ends; whoever signs in again comes back to the same place. */
export function EndingBanner({ info }: { info: SessionInfo }) {
  const now = useNow();
  useStore(place);
  const until = info.expires_at;
  if (until === null || secondsUntil(until, now) > (info.renewable ? WARN_RENEWABLE_S : WARN_S)) return null;
  return (
    <div class="banner" role="status" data-testid="ending">
      <span>Your sign-in ends at {clock(until)}.</span>
      {info.providers.map((provider) => (
        <a key={provider.id} href={signInHref(provider.id)}>
          {info.providers.length > 1 ? `Sign in again with ${provider.name}` : "Sign in again"}
        </a>
      ))}
    </div>
  );
}
