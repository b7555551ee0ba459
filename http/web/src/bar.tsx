import * as format from './format';

/// A progress bar with a name; `still` ones move without a known end.
export function Bar(props: { value: number; label: string; tone?: string; unknown?: boolean }) {
  const value = Math.min(1, Math.max(0, props.value));
  return (
    <div
      class={`bar ${props.tone ?? ''} ${props.unknown ? 'unknown' : ''}`}
      role="progressbar"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      {...(props.unknown ? {} : { 'aria-valuenow': Math.floor(value * 100), 'aria-valuetext': format.percent(value) })}
    >
      <i style={{ width: props.unknown ? undefined : `${value * 100}%` }} />
    </div>
  );
}
