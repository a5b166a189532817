package devora

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// Extra holds the fields of an answer that this package does not know, and those whose values are not of the type that
// it knows, as they came.
type Extra = map[string]json.RawMessage

// decodeObject reads a JSON object into a structure and keeps in its field Extra what the structure cannot hold. An
// answer of a newer server is still read that way.
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

// encodeObject writes a structure with what is in its Extra.
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

// fieldsOf gives the index of each field by its name in JSON.
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
