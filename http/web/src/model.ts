// What the API says about a video (openapi.yaml, schema Video).
export type State = 'receiving' | 'queued' | 'planning' | 'encoding' | 'finishing' | 'ready' | 'failed' | 'deleting';

export interface Rung {
  name: string;
  width: number;
  height: number;
  progress: number;
}

export interface Plan {
  format: string;
  duration_s: number;
  width: number;
  height: number;
  fps: number;
  chunks: number;
  chunks_done: number;
}

export interface Video {
  id: string;
  title: string;
  state: State;
  progress: number;
  eta_s: number | null;
  created: string;
  revision: number;
  bytes: number;
  bytes_total: number | null;
  rungs: Rung[];
  plan: Plan | null;
  notes: string[];
  error: { code: string; detail: string } | null;
  links: { self: string; hls: string | null; dash: string | null; poster: string | null; storyboard: string | null };
}

export interface Page {
  videos: Video[];
  next: string | null;
}
