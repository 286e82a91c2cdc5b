//! The SQL function `hex`: ids as 32 digits, fingerprints as 16, as everywhere else.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// `hex(binary)` and `hex(bigint)`, lower case, every digit.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Hex {
    signature: Signature,
}

/// The function, to be registered.
pub(crate) fn hex() -> ScalarUDF {
    let types = vec![DataType::Binary, DataType::Int64];
    ScalarUDF::from(Hex { signature: Signature::uniform(1, types, Volatility::Immutable) })
}

impl ScalarUDFImpl for Hex {
    fn name(&self) -> &str {
        "hex"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [array] = arrays.as_slice() else { return exec_err!("hex takes one argument") };
        let digits: StringArray = match array.data_type() {
            DataType::Binary => array.as_binary::<i32>().iter().map(|b| b.map(digits)).collect(),
            DataType::Int64 => {
                let numbers = array.as_primitive::<Int64Type>().iter();
                numbers.map(|number| number.map(|number| format!("{number:016x}"))).collect()
            }
            other => return exec_err!("hex takes binary or bigint, not {other}"),
        };
        Ok(ColumnarValue::Array(Arc::new(digits) as ArrayRef))
    }
}

fn digits(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
