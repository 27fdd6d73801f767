/** What a query spends. */
export type Mode = "speed" | "balanced" | "comprehensive";

/** Restricts a search. Within a field any value may match; all fields must. */
export interface Filters {
  document_ids?: string[];
  sources?: string[];
  document_types?: string[];
  authors?: string[];
  date_range?: { start?: string; end?: string };
  metadata?: Record<string, string>;
}

/** Fields of `query.data`, beside the question. */
export interface QueryOptions {
  collection?: string;
  mode?: Mode;
  stream?: boolean;
  /** 1 to 100. */
  max_results?: number;
  include_sources?: boolean;
  response_format?: "text_only" | "with_sources" | "with_citations" | "with_analysis";
  /** BCP 47. */
  language?: string;
  /** 0 to 2. */
  temperature?: number;
  /** 0 to 1. */
  score_threshold?: number;
  filters?: Filters;
}

export interface Status {
  stage: "analyzing_query" | "retrieving_documents" | "generating_response" | "configured" | "paused" | "resumed";
  progress: number;
  message: string;
}

/** An exact quotation: the document's text from `char_start` to `char_end`, in Unicode code points. */
export interface Citation {
  citation_id: number;
  source: string;
  page?: number;
  confidence: number;
  content: string;
  char_start: number;
  char_end: number;
  document_id: string;
  chunk_id: string;
  section: string[];
  formatted: string;
}

export interface Complete {
  status: "completed" | "cancelled";
  query_id: string;
  total_time: number;
  tokens_generated: number;
  sources_used: number;
  processing_mode: Mode;
  query_analysis: { intent: string; entities: string[]; detail?: Record<string, unknown> };
  timings: Record<string, number>;
  response?: string;
}

export interface UploadResult {
  status: "success" | "duplicate";
  upload_id: string;
  filename: string;
  document_id: string;
  total_time: number;
  chunks_created: number;
}

/** What the server, or the way to it, said no with. */
export class IbidError extends Error {
  constructor(code: string, message: string, details?: Record<string, unknown>, recoverable?: boolean);
  /** Stable. */
  code: string;
  details: Record<string, unknown>;
  /** Whether trying again may help. */
  recoverable: boolean;
}

/** An answer as it is made: iterate over the pieces of its text. */
export class Answer implements AsyncIterable<string> {
  readonly requestId: string;
  readonly citations: Citation[];
  readonly text: string;
  readonly status: Status | null;
  readonly complete: Complete | null;
  cancel(): void;
  pause(): void;
  resume(): void;
  whole(): Promise<string>;
  [Symbol.asyncIterator](): AsyncGenerator<string, void, void>;
}

export interface AskOptions extends QueryOptions {
  /** Aborting it cancels the query on the server. */
  signal?: AbortSignal;
  /** Every message, as `/ws/query` sends it. */
  onEvent?: (type: string, data: unknown) => void;
}

export interface UploadOptions {
  /** That of a `File` where it is left out. */
  filename?: string;
  collection?: string;
  metadata?: Record<string, string>;
  signal?: AbortSignal;
  /** `location` can be kept, and given later to go on with the upload. */
  onProgress?: (progress: { location: string; bytes: number; total: number }) => void;
  /** Every message of this upload, as `/ws/upload` sends it. */
  onEvent?: (type: string, data: unknown) => void;
  location?: string;
}

export class Client {
  constructor(url?: string, options?: { token?: string | null; WebSocket?: unknown });
  ask(query: string, options?: AskOptions): Promise<Answer>;
  upload(blob: Blob, options?: UploadOptions): Promise<UploadResult>;
  search(query: string, options?: { collection?: string; signal?: AbortSignal; limit?: number; [option: string]: unknown }): Promise<{ results: unknown[] }>;
  request(path: string, options?: RequestInit & { json?: unknown }): Promise<any>;
  close(): void;
}
