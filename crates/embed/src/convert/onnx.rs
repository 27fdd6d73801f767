//! The part of the ONNX file format that the converter writes, as protobuf messages.
//!
//! Field numbers and enum values are those of the public ONNX schema (`onnx.proto`, IR version 10). Fields that no graph of the converter
//! uses are omitted, as protobuf allows.

/// An ONNX file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelProto {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(string, tag = "3")]
    pub producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
}

/// The version of an operator set that nodes use; the empty domain is ONNX's own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorSetId {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// Nodes, each after those whose outputs it reads, and the constants that they read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// One operation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// The operator set; empty for ONNX's own.
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// A constant parameter of an operation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AttributeProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub s: Option<Vec<u8>>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub r#type: i32,
}

/// A constant; `raw_data` is little-endian and row-major.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// The name and type of an input or output.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

/// A type; only tensors are written.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// A tensor's element type and shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorType {
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShape>,
}

/// A shape, dimension by dimension.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// A dimension: a number, or the name of one that is known at run time only.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dimension {
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
}

/// See [`Dimension`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum DimensionValue {
    #[prost(int64, tag = "1")]
    Fixed(i64),
    #[prost(string, tag = "2")]
    Named(String),
}

/// `TensorProto.DataType.FLOAT`
pub const FLOAT: i32 = 1;
/// `TensorProto.DataType.UINT8`
pub const UINT8: i32 = 2;
/// `TensorProto.DataType.INT8`
pub const INT8: i32 = 3;
/// `TensorProto.DataType.INT32`
pub const INT32: i32 = 6;
/// `TensorProto.DataType.INT64`
pub const INT64: i32 = 7;
/// `TensorProto.DataType.FLOAT16`
pub const FLOAT16: i32 = 10;

/// The parts of an ONNX file by another producer that are read: its inputs, its outputs, and where its weights are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outline {
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphOutline>,
}

/// See [`Outline`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct GraphOutline {
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorOutline>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// A constant without its values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorOutline {
    #[prost(string, tag = "8")]
    pub name: String,
    /// `location` names the file beside the model that holds the values.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
}

/// A key and its value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

impl AttributeProto {
    /// Makes an attribute of a 32-bit float.
    pub fn float(name: &str, value: f32) -> Self {
        Self {
            name: name.to_owned(),
            f: Some(value),
            r#type: 1,
            ..Self::default()
        }
    }

    /// Makes an attribute of an integer.
    pub fn int(name: &str, value: i64) -> Self {
        Self {
            name: name.to_owned(),
            i: Some(value),
            r#type: 2,
            ..Self::default()
        }
    }

    /// Makes an attribute of a string.
    pub fn string(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            s: Some(value.as_bytes().to_vec()),
            r#type: 3,
            ..Self::default()
        }
    }

    /// Makes an attribute of a list of integers.
    pub fn ints(name: &str, values: &[i64]) -> Self {
        Self {
            name: name.to_owned(),
            ints: values.to_vec(),
            r#type: 7,
            ..Self::default()
        }
    }
}

impl ValueInfoProto {
    /// Returns the element type of a tensor, 0 for anything else; and its dimensions, where a number is known.
    pub fn describe(&self) -> (i32, Vec<Option<i64>>) {
        let Some(tensor) = self.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref()) else {
            return (0, Vec::new());
        };
        let dimensions = tensor
            .shape
            .iter()
            .flat_map(|shape| &shape.dim)
            .map(|dimension| match dimension.value {
                Some(DimensionValue::Fixed(size)) => Some(size),
                _ => None,
            });
        (tensor.elem_type, dimensions.collect())
    }

    /// Describes a tensor of element type `elem_type`.
    pub fn tensor(name: &str, elem_type: i32, shape: Vec<DimensionValue>) -> Self {
        let dim = shape.into_iter().map(|value| Dimension { value: Some(value) }).collect();
        let tensor_type = Some(TensorType {
            elem_type,
            shape: Some(TensorShape { dim }),
        });
        Self {
            name: name.to_owned(),
            r#type: Some(TypeProto { tensor_type }),
        }
    }
}
