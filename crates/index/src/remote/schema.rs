//! The server's configuration of a collection.

use super::super::fields::{CREATED, DENSE, FULL_SCAN_KIB, HNSW_BUILD_BEAM, HNSW_EDGES, KEYWORDS, SPARSE};
use super::{Quantization, RemoteOptions};
use qdrant_client::qdrant::{
    BinaryQuantization, CollectionParams, CompressionRatio, CreateCollection, CreateFieldIndexCollection, Distance, FieldType,
    HnswConfigDiff, Modifier, ProductQuantization, QuantizationConfig, QuantizationType, ScalarQuantization, SparseVectorConfig,
    SparseVectorParams, VectorParams, VectorParamsMap, VectorsConfig, quantization_config, vectors_config,
};

/// Returns the request that creates a collection.
// Servers before 1.18 know the switches for disks only by their deprecated names.
#[allow(deprecated)]
pub(super) fn collection(name: String, dimension: u32, options: &RemoteOptions) -> CreateCollection {
    let dense = VectorParams {
        size: u64::from(dimension),
        distance: Distance::Cosine.into(),
        on_disk: Some(options.vectors_on_disk),
        ..VectorParams::default()
    };
    let sparse = SparseVectorParams {
        modifier: Some(Modifier::Idf.into()),
        ..SparseVectorParams::default()
    };
    CreateCollection {
        collection_name: name,
        vectors_config: Some(VectorsConfig {
            config: Some(vectors_config::Config::ParamsMap(VectorParamsMap {
                map: [(DENSE.to_owned(), dense)].into(),
            })),
        }),
        sparse_vectors_config: Some(SparseVectorConfig {
            map: [(SPARSE.to_owned(), sparse)].into(),
        }),
        hnsw_config: Some(HnswConfigDiff {
            m: Some(HNSW_EDGES as u64),
            ef_construct: Some(HNSW_BUILD_BEAM as u64),
            full_scan_threshold: Some(FULL_SCAN_KIB as u64),
            on_disk: Some(options.graph_on_disk),
            ..HnswConfigDiff::default()
        }),
        quantization_config: quantization(options.quantization),
        shard_number: options.shards,
        replication_factor: Some(options.replicas),
        write_consistency_factor: Some(options.write_consistency),
        on_disk_payload: Some(options.payload_on_disk),
        ..CreateCollection::default()
    }
}

/// Returns the compression. Compressed vectors are kept in memory, which is their purpose.
#[allow(deprecated)]
fn quantization(wanted: Quantization) -> Option<QuantizationConfig> {
    let quantization = match wanted {
        Quantization::None => return None,
        Quantization::Scalar => quantization_config::Quantization::Scalar(ScalarQuantization {
            r#type: QuantizationType::Int8.into(),
            quantile: Some(0.99),
            always_ram: Some(true),
            ..ScalarQuantization::default()
        }),
        Quantization::Binary => quantization_config::Quantization::Binary(BinaryQuantization {
            always_ram: Some(true),
            ..BinaryQuantization::default()
        }),
        Quantization::Product => quantization_config::Quantization::Product(ProductQuantization {
            compression: CompressionRatio::X16.into(),
            always_ram: Some(true),
            ..ProductQuantization::default()
        }),
    };
    Some(QuantizationConfig {
        quantization: Some(quantization),
    })
}

/// Returns the requests that index the fields that filters use.
pub(super) fn payload_indexes(name: &str) -> impl Iterator<Item = CreateFieldIndexCollection> + '_ {
    let keywords = KEYWORDS.into_iter().map(|field| (field, FieldType::Keyword));
    keywords
        .chain([(CREATED, FieldType::Integer)])
        .map(|(field, kind)| CreateFieldIndexCollection {
            collection_name: name.to_owned(),
            wait: Some(true),
            field_name: field.to_owned(),
            field_type: Some(kind.into()),
            ..CreateFieldIndexCollection::default()
        })
}

/// Returns the dimension of the dense vectors; `None` if the collection is not Ibid's.
pub(super) fn dimension(params: &CollectionParams) -> Option<u32> {
    match params.vectors_config.as_ref()?.config.as_ref()? {
        vectors_config::Config::ParamsMap(map) => u32::try_from(map.map.get(DENSE)?.size).ok(),
        vectors_config::Config::Params(_) => None,
    }
}
