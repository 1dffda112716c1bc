// Package fields names fields of log lines.
package fields

// Names.
const (
	DurationS      = "duration_s"
	HTTPStatusCode = "status"
)

// Field says what replaces a deprecated name.
type Field struct{ Standard string }

// Deprecated is empty: every name is used as it is.
var (
	Deprecated     = map[string]Field{}
	VariantVersion = map[string]int{}
)
