//! What does an answer say of its cost? Loki's object, with all the keys that its clients decode.

use strandline_model::time::SECOND_NS;
use strandline_query::QueryStats;

/// Names under `cache`.
const CACHES: [&str; 10] = [
    "chunk",
    "index",
    "result",
    "statsResult",
    "volumeResult",
    "seriesResult",
    "labelResult",
    "instantMetricResult",
    "logResult",
    "taskResult",
];

/// Appends the object.
pub(crate) fn put(out: &mut Vec<u8>, stats: &QueryStats) {
    let exec = stats.exec_ns as f64 / SECOND_NS as f64;
    let per_second = |n: u64| if stats.exec_ns > 0 { (n as f64 / exec) as u64 } else { 0 };
    let summary = format!(
        "{{\"summary\":{{\"bytesProcessedPerSecond\":{},\"linesProcessedPerSecond\":{},\"totalBytesProcessed\":{},\
         \"totalLinesProcessed\":{},\"execTime\":{exec},\"queueTime\":{},\"subqueries\":0,\
         \"totalEntriesReturned\":{},\"splits\":0,\"shards\":0,\"totalPostFilterLines\":{},\
         \"totalStructuredMetadataBytesProcessed\":0}}",
        per_second(stats.bytes()),
        per_second(stats.lines()),
        stats.bytes(),
        stats.lines(),
        stats.queue_ns as f64 / SECOND_NS as f64,
        stats.entries,
        stats.lines_passed,
    );
    out.extend_from_slice(summary.as_bytes());
    let querier = format!(
        ",\"querier\":{{\"store\":{},\"querierExecTime\":{}}},\"ingester\":{{\"totalReached\":0,\
         \"totalChunksMatched\":0,\"totalBatches\":0,\"totalLinesSent\":0,\"store\":{},\"recvWaitTime\":0}}",
        store(stats),
        stats.exec_ns,
        store(&QueryStats::default()),
    );
    out.extend_from_slice(querier.as_bytes());
    put_caches(out);
    let index = format!(
        ",\"index\":{{\"totalChunks\":{},\"postFilterChunks\":{},\"shardsDuration\":0,\"usedBloomFilters\":false,\
         \"totalStreams\":0,\"chunkRefsLookupTime\":0,\"bloomFilterTime\":0}}}}",
        stats.blocks + stats.blocks_counted + stats.blocks_ruled_out,
        stats.blocks,
    );
    out.extend_from_slice(index.as_bytes());
}

/// What Loki calls chunks are blocks here.
fn store(stats: &QueryStats) -> String {
    format!(
        "{{\"totalChunksRef\":{},\"totalChunksDownloaded\":{},\"chunksDownloadTime\":0,\
         \"queryReferencedStructuredMetadata\":false,\"queryUsedV2Engine\":false,\"chunk\":{{\"headChunkBytes\":{},\
         \"headChunkLines\":{},\"decompressedBytes\":{},\"decompressedLines\":{},\"compressedBytes\":0,\
         \"totalDuplicates\":{},\"postFilterLines\":{},\"headChunkStructuredMetadataBytes\":0,\
         \"decompressedStructuredMetadataBytes\":0}},\"chunkRefsFetchTime\":0,\"congestionControlLatency\":0,\
         \"pipelineWrapperFilteredLines\":0}}",
        stats.blocks + stats.blocks_counted + stats.blocks_ruled_out,
        stats.blocks,
        stats.head_bytes,
        stats.head_lines,
        stats.segment_bytes,
        stats.segment_lines,
        stats.duplicates,
        stats.lines_passed,
    )
}

fn put_caches(out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"cache\":{");
    for (i, name) in CACHES.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let cache = format!(
            "{comma}\"{name}\":{{\"entriesFound\":0,\"entriesRequested\":0,\"entriesStored\":0,\"bytesReceived\":0,\
             \"bytesSent\":0,\"requests\":0,\"downloadTime\":0,\"queryLengthServed\":0}}"
        );
        out.extend_from_slice(cache.as_bytes());
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_json_with_the_keys_that_clients_read() {
        let stats = QueryStats {
            exec_ns: SECOND_NS / 2,
            segment_bytes: 100,
            segment_lines: 4,
            entries: 2,
            ..QueryStats::default()
        };
        let mut out = Vec::new();
        put(&mut out, &stats);
        let found: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(found["summary"]["totalBytesProcessed"], 100);
        assert_eq!(found["summary"]["bytesProcessedPerSecond"], 200);
        assert_eq!(found["summary"]["execTime"], 0.5);
        assert_eq!(found["querier"]["store"]["chunk"]["decompressedBytes"], 100);
        assert_eq!(found["cache"]["taskResult"]["requests"], 0);
        assert_eq!(found["ingester"]["totalReached"], 0);
        assert_eq!(found["index"]["usedBloomFilters"], false);
        put(&mut Vec::new(), &QueryStats::default());
    }
}
