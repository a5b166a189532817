package devora

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// Extra holds the fields of an answer that this package does not know, as they came.
type Extra = map[string]json.RawMessage

// decodeObject reads a JSON object into a structure and keeps what the structure does not know in its field Extra.
// Types call it with a copy of themselves that has no methods, which would recurse.
func decodeObject(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	value := reflect.ValueOf(into).Elem()
	for name := range known(value.Type()) {
		delete(members, name)
	}
	if len(members) > 0 {
		value.FieldByName("Extra").Set(reflect.ValueOf(members))
	}
	return nil
}

// encodeObject writes a structure and, behind its fields, those that it does not know.
func encodeObject(structure any, extra Extra) ([]byte, error) {
	encoded, err := json.Marshal(structure)
	if err != nil || len(extra) == 0 {
		return encoded, err
	}
	unknown, err := json.Marshal(extra)
	if err != nil {
		return nil, err
	}
	if len(encoded) == len("{}") {
		return unknown, nil
	}
	return append(append(encoded[:len(encoded)-1], ','), unknown[1:]...), nil
}

var knownNames sync.Map // of reflect.Type to map[string]struct{}

func known(structure reflect.Type) map[string]struct{} {
	if names, ok := knownNames.Load(structure); ok {
		return names.(map[string]struct{})
	}
	names := map[string]struct{}{}
	for i := range structure.NumField() {
		name, _, _ := strings.Cut(structure.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names[name] = struct{}{}
		}
	}
	knownNames.Store(structure, names)
	return names
}

// setRequestID notes the request id in an answer's field of that name.
func setRequestID(into any, id string) {
	value := reflect.ValueOf(into).Elem()
	if value.Kind() != reflect.Struct {
		return
	}
	if field := value.FieldByName("RequestID"); field.IsValid() && field.Kind() == reflect.String {
		field.SetString(id)
	}
}
