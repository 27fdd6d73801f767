import type { Citation, Complete, Status } from "./index.js";

/** The class of the WebSocket guide, on top of `Client`. */
export class RAGWebSocketClient {
  constructor(url: string, authToken?: string | null, options?: { WebSocket?: unknown });
  onConnected?: () => void;
  onDisconnected?: (error: unknown) => void;
  onStatus?: (requestId: string, status: Status) => void;
  onToken?: (requestId: string, token: { content: string; position: number; is_complete: boolean }) => void;
  onCitation?: (requestId: string, citation: Citation) => void;
  onComplete?: (requestId: string, completion: Complete) => void;
  onError?: (requestId: string, error: unknown) => void;
  connect(): void;
  query(queryText: string, options?: Record<string, unknown>, callback?: ((type: string, data: any) => void) | null): string;
  cancelQuery(requestId: string): void;
  close(): void;
}
