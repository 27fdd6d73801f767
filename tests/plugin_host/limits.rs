//! Quarantine, and the limits of time, memory, host calls, instances and log lines.

use super::*;

#[tokio::test]
async fn a_plugin_that_keeps_crashing_is_quarantined_and_others_are_not() {
    let _shared = PROCESS.read().await;
    let host = host();
    let (bad, good) = (host.load(&GUESTS[0]).unwrap(), host.load(&GUESTS[0]).unwrap());
    let mut changes = host.state_changes();
    let budget = tight(Kind::Chunker);
    for _ in 0..5 {
        let error = chunk(&host, &bad, "panic", &budget).await.unwrap_err();
        assert!(matches!(error.reason, Reason::Trap(_)), "{error}");
    }
    let error = chunk(&host, &bad, "", &budget).await.unwrap_err();
    assert!(error.to_string().contains("is not called for"), "{error}");
    assert!(error.to_string().contains("the last one crashed"), "{error}");
    assert_eq!(bad.stats().calls, 5, "a quarantined plugin is not run");
    let change = changes.recv().await.unwrap();
    assert_eq!(
        (change.change, change.plugin.name.as_str()),
        (QuarantineChange::Quarantined, "hostile-chunker")
    );
    assert_eq!(bad.quarantine().map(|quarantine| quarantine.times), Some(1));
    // The other has a state of its own, and a failure in a plugin's own words is no fault.
    for _ in 0..10 {
        chunk(&host, &good, "fail", &budget).await.unwrap_err();
    }
    assert!(chunk(&host, &good, "", &budget).await.is_ok() && good.quarantine().is_none());
}

#[tokio::test]
async fn a_start_that_spins_ends_at_its_deadline() {
    let _shared = PROCESS.read().await;
    let host = host();
    // Loading compiles, and runs nothing.
    let plugin = host.load(&GUESTS[5]).unwrap();
    let error = chunk(&host, &plugin, "", &tight(Kind::Chunker)).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Deadline(_)), "{error}");
}

/// A component with so many bytes more, in a section that means nothing.
fn padded(component: &[u8], bytes: usize) -> Vec<u8> {
    let mut padded = component.to_vec();
    let mut size = bytes;
    // A custom section: its number, its size as LEB128, the length of its name, its name, anything.
    padded.push(0);
    while size >= 0x80 {
        padded.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    padded.push(size as u8);
    padded.extend_from_slice(&[1, b'x']);
    padded.resize(padded.len() + bytes - 2, 0);
    padded
}

#[tokio::test]
async fn a_huge_component_works_up_to_the_limit_and_is_refused_past_it() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&padded(&GUESTS[0], 50 << 20)).unwrap();
    assert_eq!(chunk(&host, &plugin, "", &tight(Kind::Chunker)).await.unwrap().len(), 1);
    let error = host.load(&padded(&GUESTS[0], 64 << 20)).unwrap_err();
    assert!(error.to_string().contains("larger than 64 MiB"), "{error}");
}

#[tokio::test]
async fn more_host_calls_than_its_budget_end_a_guest() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let few = Budget {
        host_calls: 1_000,
        deadline: Duration::from_secs(60),
        ..tight(Kind::Chunker)
    };
    let error = chunk(&host, &plugin, "host-calls", &few).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin hostile-chunker@1.0.0 (chunker) exceeded a limit: more than 1000 calls of the server's functions"
    );
}

#[tokio::test]
async fn a_table_larger_than_its_budget_is_refused() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let none = Budget {
        table_elements: 0,
        ..tight(Kind::Chunker)
    };
    let error = chunk(&host, &plugin, "", &none).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Trap(_) | Reason::Memory(_)), "{error}");
}

#[tokio::test]
async fn fuel_ends_a_guest_where_it_is_metered() {
    let _shared = PROCESS.read().await;
    let host = Host::new(HostSettings {
        meter_fuel: true,
        max_answers: 4,
        ..HostSettings::default()
    })
    .unwrap();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let budget = Budget {
        fuel: Some(1_000_000),
        ..Budget::of(Kind::Chunker)
    };
    let error = chunk(&host, &plugin, "loop", &budget).await.unwrap_err();
    assert_eq!(error.reason, Reason::Fuel(1_000_000), "{error}");
    chunk(&host, &plugin, "", &budget).await.unwrap();
    chunk(&host, &plugin, "", &tight(Kind::Chunker)).await.unwrap();

    let unmetered = self::host();
    let error = chunk(&unmetered, &unmetered.load(&GUESTS[0]).unwrap(), "", &budget)
        .await
        .unwrap_err();
    assert!(matches!(error.reason, Reason::Config(_)), "{error}");
}

#[tokio::test]
async fn dropping_a_call_stops_its_guest() {
    let _shared = PROCESS.read().await;
    let host = Host::new(HostSettings {
        max_documents: 1,
        max_answers: 1,
        ..HostSettings::default()
    })
    .unwrap();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let hours = Budget {
        deadline: Duration::from_secs(86_400),
        ..Budget::of(Kind::Chunker)
    };
    let spinning = chunk(&host, &plugin, "loop", &hours);
    assert!(tokio::time::timeout(Duration::from_millis(50), spinning).await.is_err());
    // There is one place for all; it is free again only once the guest has ended.
    chunk(&host, &plugin, "", &hours).await.unwrap();
    assert_eq!(plugin.stats().calls, 1, "a cancelled call does not count");
}

#[tokio::test(flavor = "current_thread")]
async fn a_spinning_guest_leaves_the_reactor_alone() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let budget = tight(Kind::Chunker);
    let mut call = std::pin::pin!(chunk(&host, &plugin, "loop", &budget));
    let mut turns = 0;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut call => break ended,
            () = tokio::task::yield_now() => turns += 1,
        }
    };
    assert!(matches!(ended.unwrap_err().reason, Reason::Deadline(_)));
    assert!(turns > 10, "the only thread of the reactor was held");
}

#[tokio::test]
async fn more_calls_than_instances_wait_their_turn() {
    let _shared = PROCESS.read().await;
    let host = Host::new(HostSettings {
        max_documents: 2,
        max_answers: 1,
        ..HostSettings::default()
    })
    .unwrap();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (host, plugin) = (host.clone(), plugin.clone());
            tokio::spawn(async move { chunk(&host, &plugin, "read", &Budget::of(Kind::Chunker)).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_goes_back_to_the_system() {
    let resident = || -> u64 {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let _alone = PROCESS.write().await;
    let budget = Budget::of(Kind::Chunker);
    chunk(&host, &plugin, "", &budget).await.unwrap();
    let before = resident();
    for _ in 0..8 {
        chunk(&host, &plugin, "use-memory", &budget).await.unwrap();
        chunk(&host, &plugin, "allocate", &budget).await.unwrap_err();
    }
    assert!(plugin.stats().peak_memory_bytes > 200 << 20, "the guest did use memory");
    let kept = resident().saturating_sub(before);
    assert!(kept < 32 << 20, "{kept} bytes are still held");
}

/// Counts the lines that guests logged and looks for control characters in them.
struct GuestLines;

static LINES: AtomicUsize = AtomicUsize::new(0);
static FORGED: AtomicUsize = AtomicUsize::new(0);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for GuestLines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Message;
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" && format!("{value:?}").contains(char::is_control) {
                    FORGED.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if event.metadata().target() == "ibid_plugin_host::guest" {
            LINES.fetch_add(1, Ordering::Relaxed);
            event.record(&mut Message);
        }
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_off() {
    use tracing_subscriber::layer::SubscriberExt;
    let _alone = PROCESS.write().await;
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(GuestLines)).unwrap();
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let budget = Budget {
        log_lines: 7,
        ..Budget::of(Kind::Chunker)
    };
    chunk(&host, &plugin, "log", &budget).await.unwrap();
    let lines = LINES.load(Ordering::Relaxed);
    assert_eq!(
        lines,
        7 + 1,
        "the lines that it may write, and one that tells how many were dropped"
    );
    assert_eq!(FORGED.load(Ordering::Relaxed), 0);
}
