package devora

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// Extra holds the fields of a response that this package does not know, and fields whose values have another type than
// expected, as raw JSON.
type Extra = map[string]json.RawMessage

// decodeObject decodes a JSON object. What the structure cannot hold goes to its field Extra, so that responses of newer
// servers can still be read.
func decodeObject(data []byte, structure any) error {
	var members Extra
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	value := reflect.ValueOf(structure).Elem()
	for name, index := range fieldsOf(value.Type()) {
		member, ok := members[name]
		if !ok {
			continue
		}
		field := reflect.New(value.Field(index).Type())
		if json.Unmarshal(member, field.Interface()) == nil {
			value.Field(index).Set(field.Elem())
			delete(members, name)
		}
	}
	if len(members) > 0 {
		value.FieldByName("Extra").Set(reflect.ValueOf(members))
	}
	return nil
}

// encodeObject encodes a structure with its Extra.
func encodeObject(structure any, extra Extra) ([]byte, error) {
	encoded, err := json.Marshal(structure)
	if err != nil || len(extra) == 0 {
		return encoded, err
	}
	var members Extra
	if err := json.Unmarshal(encoded, &members); err != nil {
		return nil, err
	}
	for name, member := range extra {
		members[name] = member
	}
	return json.Marshal(members)
}

var knownFields sync.Map // of reflect.Type to map[string]int

// fieldsOf returns the index of each field by its JSON name.
func fieldsOf(structure reflect.Type) map[string]int {
	if fields, ok := knownFields.Load(structure); ok {
		return fields.(map[string]int)
	}
	fields := map[string]int{}
	for i := range structure.NumField() {
		name, _, _ := strings.Cut(structure.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields[name] = i
		}
	}
	knownFields.Store(structure, fields)
	return fields
}

// setRequestID sets the field RequestID, if there is one.
func setRequestID(into any, id string) {
	value := reflect.ValueOf(into).Elem()
	if value.Kind() != reflect.Struct {
		return
	}
	if field := value.FieldByName("RequestID"); field.IsValid() && field.Kind() == reflect.String {
		field.SetString(id)
	}
}
