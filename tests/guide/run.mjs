// Runs JavaScript of the guide as it stands. What it takes from a browser is made here, and ws://localhost:8000 leads to the
// server under test.  node run.mjs SCENARIO SERVER MODULES CODE...
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { runInThisContext } from 'node:vm';

const [scenario, server, modules, ...codes] = process.argv.slice(2);
const { WebSocket: Real } = createRequire(modules + '/')('ws');

/** Every message on every socket, as it came. */
const heard = [];
const opened = [];

globalThis.WebSocket = class WebSocket extends Real {
    constructor(url, protocols) {
        super(url.replace('ws://localhost:8000', server), protocols);
        opened.push(this);
        this.on('message', (data) => heard.push({ socket: opened.indexOf(this), text: data.toString() }));
    }
};

const shown = { bars: [], text: '', citations: [], completions: [] };
Object.assign(globalThis, {
    document: { querySelector: (selector) => ({ style: {}, set textContent(text) { shown.bars.push(`${selector} ${text}`); } }) },
    updateProgressBar: (progress) => shown.bars.push(progress),
    appendToResponse: (content) => { shown.text += content; },
    addCitation: (citation) => shown.citations.push(citation),
    finalizeResponse: (completion) => shown.completions.push(completion),
});

const done = (result) => {
    console.log('RESULT ' + JSON.stringify(result));
    process.exit(0);
};
const run = (code) => runInThisContext(code);
if (scenario !== 'tus') {
    codes.forEach((code) => run(readFileSync(code, 'utf8')));
}

const scenarios = {
    // The example's own client, asked again once it is connected.
    query() {
        const client = run('client');
        client.onConnected = () => {
            const called = [];
            client.query('What is the annual budget of the IT department?', { mode: 'comprehensive', max_results: 5 }, (type) => {
                called.push(type);
                if (type === 'complete') {
                    setImmediate(() => done({ ...shown, called, waiting: client.requestCallbacks.size, valid: heard.every(({ text }) => run('validateMessage')(text)) }));
                }
            });
        };
    },
    cancel() {
        const client = run('client');
        client.onConnected = () => {
            const id = client.query('What is the annual budget of the IT department?', {}, (type, data) => {
                if (type === 'status') {
                    client.cancelQuery(id);
                } else if (type === 'complete' || type === 'error') {
                    done({ type, status: data.status });
                }
            });
        };
    },
    upload() {
        const Tracker = run('UploadProgressTracker');
        // The guide leaves it to the page.
        Tracker.prototype.completeUpload = function (id, data) { this.activeUploads.delete(id); };
        const tracker = new Tracker();
        const called = [];
        for (const name of ['onUploadStarted', 'onUploadProgress', 'onProcessingProgress', 'onChunkingProgress', 'onEmbeddingProgress', 'onUploadComplete']) {
            tracker[name] = (id, data) => {
                called.push(name);
                if (name === 'onUploadStarted') {
                    shown.started = tracker.activeUploads.get(id);
                } else if (name === 'onUploadComplete') {
                    done({ ...shown, called, complete: data, active: tracker.activeUploads.size });
                }
            };
        }
        tracker.ws.onopen = () => console.log('READY');
    },
    load() {
        run('loadTestWebSocket')();
        const closed = new Set();
        for (const ws of opened) {
            ws.on('close', (code) => {
                closed.add(ws);
                if (closed.size === 50) {
                    const ends = heard.map(({ socket, text }) => ({ socket, ...JSON.parse(text) })).filter(({ type }) => type === 'complete' || type === 'error');
                    done({ opened: opened.length, ends: ends.map(({ socket, type, request_id }) => ({ socket, type, request_id })) });
                }
            });
        }
    },
    // Not of the guide: the reference client of tus.
    async tus() {
        const tus = createRequire(modules + '/')('tus-js-client');
        const file = readFileSync(codes[0]);
        const options = (more) => ({
            endpoint: server.replace('ws:', 'http:') + '/uploads',
            metadata: { filename: 'tus.txt', collection_name: 'clients-tus' },
            chunkSize: 1000,
            retryDelays: null,
            ...more,
        });
        const upload = new tus.Upload(file, options({
            onError: (error) => done({ error: String(error) }),
            onProgress: async (sent) => {
                if (sent > 2000 && upload.url && !upload.stopped) {
                    upload.stopped = true;
                    await upload.abort();
                    // As another program would, later.
                    new tus.Upload(file, options({ uploadUrl: upload.url, onError: (error) => done({ error: String(error) }), onSuccess: () => done({ url: upload.url }) })).start();
                }
            },
        }));
        upload.start();
    },
};
await scenarios[scenario]();
