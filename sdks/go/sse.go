package devora

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

var errTooLarge = errors.New("frame too large")

// frame is one frame of an event stream.
type frame struct {
	event string
	id    string
	data  []byte
}

// frameReader reads frames of a text/event-stream body.
type frameReader struct {
	lines *bufio.Reader
	begun bool
}

func newFrameReader(body io.Reader) *frameReader {
	return &frameReader{lines: bufio.NewReaderSize(body, 1<<16)}
}

// next returns the next frame with data. It drops an incomplete frame at the end of the stream.
func (r *frameReader) next() (frame, error) {
	var read frame
	var data [][]byte
	for size := 0; ; {
		line, err := r.line(largestAnswer - size)
		if err != nil {
			return frame{}, err
		}
		size += len(line)
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if !r.begun {
			r.begun = true
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if len(line) == 0 {
			if data != nil {
				read.data = bytes.Join(data, []byte("\n"))
				return read, nil
			}
			read, size = frame{}, 0
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			read.event = string(value)
		case "id":
			read.id = string(value)
		case "data":
			data = append(data, value)
		}
	}
}

// line reads a line of at most limit bytes.
func (r *frameReader) line(limit int) ([]byte, error) {
	var whole []byte
	for {
		piece, err := r.lines.ReadSlice('\n')
		whole = append(whole, piece...)
		if len(whole) > limit {
			return nil, errTooLarge
		}
		if err != bufio.ErrBufferFull {
			return whole, err
		}
	}
}
